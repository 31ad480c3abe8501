"""The command to Stripe that submits evidence for a dispute."""

from typing import Any

from billing.chargebacks.states import move_forward, state_of
from billing.models import CardDispute, StripeCommand
from billing.stripe import gateway
from billing.stripe.commands import CommandResult, StripeCommandKind
from billing.stripe.gateway import BankDispute
from core.errors import DomainError


class EvidenceCommand(StripeCommandKind):
    """Submit our evidence for a dispute to the bank."""

    kind = StripeCommand.Kind.SUBMIT_EVIDENCE

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return the operator's text, submitted for good. `find` recognises the command by its key in the metadata."""
        row = CardDispute.objects.get(pk=command.subject_id)
        return {
            "evidence": {"uncategorized_text": row.evidence},
            "submit": True,
            "metadata": {"command": command.idempotency_key},
        }

    def send(self, command: StripeCommand) -> CommandResult:
        stripe_id = CardDispute.objects.get(pk=command.subject_id).stripe_id
        return _sent(gateway.submit_evidence(stripe_id, command.params or {}, idempotency_key=command.idempotency_key))

    def find(self, command: StripeCommand) -> CommandResult | None:
        found = gateway.retrieve_dispute(CardDispute.objects.get(pk=command.subject_id).stripe_id)
        return _sent(found) if found.command == command.idempotency_key else None

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Move the dispute on to the open state that Stripe answered. The bank's decision comes as an event."""
        row = CardDispute.objects.select_for_update(no_key=True).get(pk=command.subject_id)
        if (state := state_of(sent.status)) in CardDispute.OPEN:
            move_forward(row, state)

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Clear the time of the evidence: the bank may have received nothing, so the operator may submit it again."""
        CardDispute.objects.filter(pk=command.subject_id).update(evidence_at=None)


def _sent(found: BankDispute) -> CommandResult:
    """Return Stripe's answer. Raises UnknownWord."""
    state_of(found.status)  # fails here, before the command is settled, so that it is tried again later
    return CommandResult(found.id, status=found.status)
