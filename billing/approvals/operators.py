"""Operators who may decide about money: active staff whose role has the permission `billing.decide_money`."""

from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from core.errors import Forbidden

PERMISSION = "billing.decide_money"


def may_decide(user: User | AnonymousUser) -> bool:
    """Return whether the user may decide about money. Pages use it to hide actions that `check` would refuse."""
    return bool(user.is_active and user.is_staff and user.has_perm(PERMISSION))


def check(actor: User) -> None:
    """Raise Forbidden if the user may not decide about money: `not_an_operator`, `not_about_money` for other staff."""
    if not (actor.is_active and actor.is_staff):
        raise Forbidden("Only operators may do this.", code="not_an_operator")
    if not may_decide(actor):
        raise Forbidden("Only operators with the permission to decide about money may do this.", code="not_about_money")
