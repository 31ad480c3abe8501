"""The command to Stripe that sends a refund."""

from typing import Any

from billing.models import Refund, StripeCommand
from billing.refunds import outcomes as refund_outcomes
from billing.stripe import gateway
from billing.stripe.amounts import to_minor
from billing.stripe.commands import CommandResult, StripeCommandKind
from billing.stripe.gateway import CardRefund
from core.errors import Conflict, DomainError


class RefundCommand(StripeCommandKind):
    """Send one refund to the card that its top-up was paid with."""

    kind = StripeCommand.Kind.CREATE_REFUND

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return a refund of one payment, so that the money can only go back to where it came from."""
        row = Refund.objects.select_related("top_up").get(pk=command.subject_id)
        return {
            "payment_intent": row.top_up.reference,
            "amount": to_minor(row.amount_micro, row.currency),
            "reason": "requested_by_customer",
            "metadata": {"refund": str(row.public_id), "command": command.idempotency_key},
        }

    def send(self, command: StripeCommand) -> CommandResult:
        return _sent(gateway.create_refund(command.params or {}, idempotency_key=command.idempotency_key))

    def find(self, command: StripeCommand) -> CommandResult | None:
        found = gateway.find_refund(
            payment_intent_id=(command.params or {})["payment_intent"], command=command.idempotency_key
        )
        return _sent(found) if found else None

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Settle the refund by the status in Stripe's answer, which may already be a failure."""
        row = refund_outcomes.lock_refund(Refund.objects.get(pk=command.subject_id))
        refund_outcomes.settle(row, stripe_id=sent.object_id, status=sent.status, code=sent.status_code)

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Return the money to the wallet if Stripe certainly did nothing. Otherwise an operator must decide."""
        row = refund_outcomes.lock_refund(Refund.objects.get(pk=command.subject_id))
        if not command.outcome_unknown and row.stripe_id is None:
            refund_outcomes.give_back(row, code=str(error.fields.get("stripe_code") or error.code))

    def may_retry(self, command: StripeCommand) -> None:
        """Raise Conflict (`refund_given_back`) if the money is back in the wallet: it must not be sent as well."""
        row = Refund.objects.get(pk=command.subject_id)
        if row.status == Refund.Status.FAILED:
            raise Conflict(
                "The money of this refund is back in the wallet: request a new refund.", code="refund_given_back"
            )


def _sent(found: CardRefund) -> CommandResult:
    """Convert Stripe's refund to the command's answer.

    Raises UnknownWord for an unknown status here, before anything is settled: the outbox then tries again later.
    """
    refund_outcomes.state_of(found.status)
    return CommandResult(found.id, status=found.status, status_code=found.failure_reason)
