"""Refunds that were given up without a clear answer: two operators say that they be settled, then a worker asks Stripe.

Nothing is asked of Stripe in the transaction of the approval. So the approval stays what a worker looks for, until the
refund has an end.
"""

import logging

from accounts.models import User
from billing.models import Approval, Refund, StripeCommand
from billing.refunds import outcomes as refund_outcomes
from core.errors import Conflict, DomainError

logger = logging.getLogger(__name__)
TASK = "billing.resolve_refunds"


def insist_given_up(refund: Refund) -> None:
    """Raises Conflict `refund_not_given_up`."""
    command = StripeCommand.objects.get(pk=refund.command_id)
    if refund.status != Refund.Status.REQUESTED or command.status != StripeCommand.Status.DEAD:
        raise Conflict("This refund was not given up: Stripe still answers for it.", code="refund_not_given_up")


def resolve_approved() -> int:
    """Settle the approved ones: sent as Stripe has it, or back in the wallet. How many were; others wait for the next run.

    Outside a transaction. May run twice, at once: see outcomes.resolve.
    """
    done = 0
    for refund, actor in _approved():
        try:
            refund_outcomes.resolve(refund=refund, actor=actor)
            done += 1
        except DomainError as error:  # Stripe is away, or its last sender may not be gone
            logger.warning("%s is not settled yet: %s", refund, error.message)
    return done


def _approved() -> list[tuple[Refund, User]]:
    """With the operator whose word it was; of two words the later."""
    rows = Approval.objects.filter(kind=Approval.Kind.RESOLVE_REFUND, status=Approval.Status.DONE)
    actors = {row.params["refund"]: row.decided_by for row in rows.select_related("decided_by").order_by("id")}
    refunds = Refund.objects.filter(
        public_id__in=list(actors), status=Refund.Status.REQUESTED, command__status=StripeCommand.Status.DEAD
    )
    found = [(refund, actors[str(refund.public_id)]) for refund in refunds.order_by("id")]
    return [(refund, actor) for refund, actor in found if actor is not None]
