"""The command to Stripe that tells a bank our side of a dispute."""

from typing import Any

from billing.chargebacks.states import go_on, state_of
from billing.models import CardDispute, StripeCommand
from billing.stripe import gateway
from billing.stripe.commands import Sent, StripeCommandKind
from billing.stripe.gateway import BankDispute
from core.errors import DomainError


class EvidenceCommand(StripeCommandKind):
    """Tell a bank our side of a dispute."""

    kind = StripeCommand.Kind.SUBMIT_EVIDENCE

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """The text as an operator wrote it. The command in the metadata is how it is found again."""
        row = CardDispute.objects.get(pk=command.subject_id)
        return {
            "evidence": {"uncategorized_text": row.evidence},
            "submit": True,
            "metadata": {"command": command.idempotency_key},
        }

    def send(self, command: StripeCommand) -> Sent:
        stripe_id = CardDispute.objects.get(pk=command.subject_id).stripe_id
        return _sent(gateway.submit_evidence(stripe_id, command.params or {}, idempotency_key=command.idempotency_key))

    def find(self, command: StripeCommand) -> Sent | None:
        found = gateway.retrieve_dispute(CardDispute.objects.get(pk=command.subject_id).stripe_id)
        return _sent(found) if found.command == command.idempotency_key else None

    def done(self, command: StripeCommand, sent: Sent) -> None:
        """The bank has it; what it decides comes by events."""
        row = CardDispute.objects.select_for_update(no_key=True).get(pk=command.subject_id)
        if (state := state_of(sent.status)) in CardDispute.OPEN:
            go_on(row, state)

    def dead(self, command: StripeCommand, error: DomainError) -> None:
        """The bank may have heard nothing: the operator sees no answer, and may write it again."""
        CardDispute.objects.filter(pk=command.subject_id).update(evidence_at=None)


def _sent(found: BankDispute) -> Sent:
    """Raises UnknownWord before anything is settled: the command is looked at again later."""
    state_of(found.status)
    return Sent(found.id, status=found.status)
