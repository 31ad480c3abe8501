"""The command that tells a bank our side of a dispute."""

from typing import Any

from billing import gateway
from billing.gateway import BankDispute
from billing.models import CardDispute, StripeCommand
from billing.services.dispute_states import MEANS, go_on
from billing.services.sent import Sent
from marketplace.core.errors import DomainError


def params(command: StripeCommand) -> dict[str, Any]:
    """The text as an operator wrote it. The command in the metadata is how it is found again."""
    row = CardDispute.objects.get(pk=command.subject_id)
    return {
        "evidence": {"uncategorized_text": row.evidence},
        "submit": True,
        "metadata": {"command": command.idempotency_key},
    }


def send(command: StripeCommand) -> Sent:
    stripe_id = CardDispute.objects.get(pk=command.subject_id).stripe_id
    return _sent(
        gateway.submit_evidence(stripe_id, command.params or {}, idempotency_key=command.idempotency_key)
    )  # fmt: skip


def find(command: StripeCommand) -> Sent | None:
    found = gateway.retrieve_dispute(CardDispute.objects.get(pk=command.subject_id).stripe_id)
    return _sent(found) if found.command == command.idempotency_key else None


def done(command: StripeCommand, sent: Sent) -> None:
    """The bank has it; what it decides comes by events."""
    row = CardDispute.objects.select_for_update(no_key=True).get(pk=command.subject_id)
    if MEANS[sent.status] in CardDispute.OPEN:
        go_on(row, MEANS[sent.status])


def dead(command: StripeCommand, error: DomainError) -> None:
    """The bank may have heard nothing: the operator sees no answer, and may write it again."""
    CardDispute.objects.filter(pk=command.subject_id).update(evidence_at=None)


def _sent(found: BankDispute) -> Sent:
    return Sent(found.id, status=found.status)
