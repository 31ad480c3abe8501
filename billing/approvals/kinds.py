"""The registry of acts on money that need two operators, and helpers that check their parameters.

`KINDS` is empty until `billing.wiring.connect` has registered the kinds.
"""

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
AMOUNT_MAX_MICRO = 1_000_000 * 10**6  # a million of the currency's major unit


@dataclass(frozen=True)
class ApprovalKind:
    """One kind of act: how its parameters are checked and described, and what approving it does."""

    clean: Callable[[Params], Params]  # returns the checked parameters to store; raises InvalidInput, NotFound
    summary: Callable[[Params], str]  # describes the act in words, for the second operator
    do: Callable[[Approval, User], object]  # does the act, in the transaction of the approval


KINDS: dict[str, ApprovalKind] = {}


def find_subject(model: type[M], params: Params, name: str) -> M:
    """Return the object whose public id is `params[name]`. Raises InvalidInput (`subject_invalid`) and NotFound."""
    try:
        wanted = UUID(str(params.get(name, "")))
    except ValueError as error:
        raise InvalidInput(f"Give the id of the {name.replace('_', ' ')}.", code="subject_invalid") from error
    found = model._default_manager.filter(public_id=wanted).first()
    if found is None:
        raise NotFound(f"There is no such {name.replace('_', ' ')}.")
    return found


def amount_of(params: Params, *, signed: bool = False) -> int:
    """Return `params["amount_micro"]`, an integer of micro-units other than zero; negative only if `signed`.

    Raises InvalidInput (`amount_invalid`).
    """
    value = params.get("amount_micro")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < abs(value) <= AMOUNT_MAX_MICRO:
        raise InvalidInput("Give an amount other than zero, of at most a million.", code="amount_invalid")
    if value < 0 and not signed:
        raise InvalidInput("The amount must be more than zero.", code="amount_invalid")
    return value
