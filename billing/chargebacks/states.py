"""Stripe's words for the state of a dispute, and ours."""

from django.utils import timezone

from billing.models import CardDispute
from billing.stripe.gateway import BankDispute
from billing.stripe.words import meaning
from core.states import transition

Status = CardDispute.Status
MEANS = {
    "warning_needs_response": Status.WARNING,
    "warning_under_review": Status.WARNING,
    "warning_closed": Status.CLOSED,
    "needs_response": Status.NEEDS_RESPONSE,
    "under_review": Status.UNDER_REVIEW,
    "won": Status.WON,
    "lost": Status.LOST,
    "prevented": Status.CLOSED,  # settled with the bank before it became a chargeback
}


def state_of(status: str) -> str:
    """Ours for Stripe's. Raises UnknownWord."""
    return meaning(MEANS, status)


def move(row: CardDispute, found: BankDispute) -> None:
    """To where Stripe's is, unless ours is further: an older answer changes nothing. The caller holds the row.

    Raises UnknownWord.
    """
    wanted = state_of(found.status)
    if found.due_at and found.due_at != row.evidence_due_at and row.status in CardDispute.OPEN:
        row.evidence_due_at = found.due_at
        row.save(update_fields=["evidence_due_at"])
    go_on(row, wanted, submissions=found.submissions)


def go_on(row: CardDispute, wanted: str, *, submissions: int = 0) -> None:
    """Forward only. A bank that asks again has our first answer; one that has none is remembered from before it."""
    asks_again = (row.status, wanted) == (Status.UNDER_REVIEW, Status.NEEDS_RESPONSE)
    if wanted not in CardDispute.TRANSITIONS.get(row.status, ()) or (asks_again and not submissions):
        return
    transition(row, wanted, ended_at=None if wanted in CardDispute.OPEN else timezone.now())
