"""The command that fetches a payout's transfer back: fraud, or a wrong payee. Works while the account there has it."""

from typing import Any

from billing.models import Payout, StripeCommand
from billing.payouts import reversals
from billing.stripe import gateway
from billing.stripe.commands import Sent
from billing.stripe.gateway import StripeRefused
from core.errors import Conflict, DomainError


def params(command: StripeCommand) -> dict[str, Any]:
    row = Payout.objects.get(pk=command.subject_id)
    return {"metadata": {"payout": str(row.public_id), "command": command.idempotency_key}}


def send(command: StripeCommand) -> Sent:
    """Whatever of it has not come back yet."""
    transfer_id = _transfer(command)
    try:
        return Sent(
            gateway.reverse_transfer(transfer_id, command.params or {}, idempotency_key=command.idempotency_key)
        )
    except StripeRefused:
        if reversals.is_whole(gateway.retrieve_transfer(transfer_id)):  # in Stripe's dashboard, before us
            return Sent("")
        raise


def find(command: StripeCommand) -> Sent | None:
    found = gateway.find_reversal(_transfer(command), command=command.idempotency_key)
    return Sent(found) if found else None


def done(command: StripeCommand, sent: Sent) -> None:
    reversals.book(Payout.objects.select_for_update().get(pk=command.subject_id))


def dead(command: StripeCommand, error: DomainError) -> None:
    """Still paid; operators see why it could not be fetched back, and may ask for it again."""
    Payout.objects.filter(pk=command.subject_id, status=Payout.Status.PAID, reverse_command=command).update(
        status_code=f"reversal_{error.code}"[:64]
    )


def may_retry(command: StripeCommand) -> None:
    """Only the last one: another may be under way."""
    row = Payout.objects.select_for_update().get(pk=command.subject_id)
    if row.status != Payout.Status.PAID or row.reverse_command_id != command.pk:
        raise Conflict("The payout no longer waits for this reversal.", code="payout_not_waiting")


def _transfer(command: StripeCommand) -> str:
    return str(Payout.objects.values_list("stripe_transfer_id", flat=True).get(pk=command.subject_id))
