"""Which members of staff decide about money: those whose role gives them Django's permission for it."""

from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from core.errors import Forbidden

PERMISSION = "billing.decide_money"


def may_decide(user: User | AnonymousUser) -> bool:
    """Pages hide from others what they could not do."""
    return bool(user.is_active and user.is_staff and user.has_perm(PERMISSION))


def check(actor: User) -> None:
    """Raises Forbidden: `not_an_operator`, and `not_about_money` for staff of another role."""
    if not (actor.is_active and actor.is_staff):
        raise Forbidden("Only operators do this.", code="not_an_operator")
    if not may_decide(actor):
        raise Forbidden("Only operators who decide about money do this.", code="not_about_money")
