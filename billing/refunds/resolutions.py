"""Settle refunds whose command was given up with an unknown outcome: two operators approve, then a worker asks Stripe.

Stripe cannot be called in the transaction of the approval. A worker therefore looks for done approvals whose refund is
still open, until the refund has ended.
"""

import logging

from accounts.models import User
from billing.models import Approval, Refund, StripeCommand
from billing.refunds import outcomes as refund_outcomes
from core.errors import Conflict, DomainError

logger = logging.getLogger(__name__)
TASK = "billing.resolve_refunds"


def require_given_up(refund: Refund) -> None:
    """Raise Conflict `refund_not_given_up` unless the refund's command was given up."""
    command = StripeCommand.objects.get(pk=refund.command_id)
    if refund.status != Refund.Status.REQUESTED or command.status != StripeCommand.Status.DEAD:
        raise Conflict("This refund was not given up: Stripe is still processing it.", code="refund_not_given_up")


def resolve_approved() -> int:
    """Settle the approved refunds: as Stripe has them, or back to the wallet.

    Return how many; others wait for the next run. Call it outside a transaction. May run twice, also concurrently:
    `outcomes.resolve` checks each refund under its lock.
    """
    count = 0
    for refund, actor in _approved():
        try:
            refund_outcomes.resolve(refund=refund, actor=actor)
            count += 1
        except DomainError as error:  # Stripe is unavailable, or the command's last sender may still be at work
            logger.warning("%s is not settled yet: %s", refund, error.message)
    return count


def _approved() -> list[tuple[Refund, User]]:
    """Return each refund to settle with the operator who approved it; with two approvals, the later one counts."""
    rows = Approval.objects.filter(kind=Approval.Kind.RESOLVE_REFUND, status=Approval.Status.DONE)
    actors = {row.params["refund"]: row.decided_by for row in rows.select_related("decided_by").order_by("id")}
    refunds = Refund.objects.filter(
        public_id__in=list(actors), status=Refund.Status.REQUESTED, command__status=StripeCommand.Status.DEAD
    )
    pairs = [(refund, actors[str(refund.public_id)]) for refund in refunds.order_by("id")]
    return [(refund, actor) for refund, actor in pairs if actor is not None]
