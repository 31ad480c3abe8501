"""Kinds of acts that need two operators. Empty until `billing.wiring.connect` has registered those of the site."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model

from accounts.models import User
from billing.models import Approval
from core.errors import InvalidInput, NotFound

Params = dict[str, Any]
M = TypeVar("M", bound=Model)
AMOUNT_MAX_MICRO = 1_000_000 * 10**6


@dataclass(frozen=True)
class ApprovalKind:
    """`clean` returns the params to keep or raises; `summary` says them in words; `do` runs in the approving transaction."""

    clean: Callable[[Params], Params]
    summary: Callable[[Params], str]
    do: Callable[[Approval, User], object]


KINDS: dict[str, ApprovalKind] = {}


def find(model: type[M], params: Params, name: str) -> M:
    """The object whose public id is `params[name]`. Raises InvalidInput, NotFound."""
    try:
        wanted = UUID(str(params.get(name, "")))
    except ValueError as error:
        raise InvalidInput(f"Give the id of the {name.replace('_', ' ')}.", code="subject_invalid") from error
    found = model._default_manager.filter(public_id=wanted).first()
    if found is None:
        raise NotFound(f"There is no such {name.replace('_', ' ')}.")
    return found


def amount(params: Params, *, signed: bool = False) -> int:
    """A whole number of micro-units. Raises InvalidInput (`amount_invalid`)."""
    value = params.get("amount_micro")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < abs(value) <= AMOUNT_MAX_MICRO:
        raise InvalidInput("Give an amount, not zero, of at most a million.", code="amount_invalid")
    if value < 0 and not signed:
        raise InvalidInput("The amount must be more than zero.", code="amount_invalid")
    return value
