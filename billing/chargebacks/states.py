"""States of a dispute: Stripe's statuses translated to ours, and moving our row forward only."""

from django.utils import timezone

from billing.models import CardDispute
from billing.stripe.gateway import BankDispute
from billing.stripe.words import meaning
from core.states import transition

Status = CardDispute.Status
OUR_STATUS = {
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
    """Return our status for Stripe's. Raises UnknownWord."""
    return meaning(OUR_STATUS, status)


def move(row: CardDispute, found: BankDispute) -> None:
    """Move our row to the state that Stripe shows; an answer older than what we know changes nothing.

    The caller has locked the row. Raises UnknownWord.
    """
    wanted = state_of(found.status)
    if found.due_at and found.due_at != row.evidence_due_at and row.status in CardDispute.OPEN:
        row.evidence_due_at = found.due_at
        row.save(update_fields=["evidence_due_at"])
    move_forward(row, wanted, submissions=found.submissions)


def move_forward(row: CardDispute, wanted: str, *, submissions: int = 0) -> None:
    """Move the row to status `wanted` if that is a step forward, else do nothing.

    `needs_response` after `under_review` is a step forward only if Stripe has counted a submission: the bank has our
    evidence and asks for more. Without a submission it is an old answer, from before we sent evidence.
    """
    asks_again = (row.status, wanted) == (Status.UNDER_REVIEW, Status.NEEDS_RESPONSE)
    if wanted not in CardDispute.TRANSITIONS.get(row.status, ()) or (asks_again and not submissions):
        return
    transition(row, wanted, ended_at=None if wanted in CardDispute.OPEN else timezone.now())
