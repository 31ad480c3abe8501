"""Payouts that are fetched back from the owner's account at Stripe: fraud, or a wrong payee."""

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from billing.gateway import Transfer
from billing.minor_units import to_micro
from billing.models import LedgerAccount, LedgerTransfer, Payout, StripeCommand
from billing.services import ledger, outbox
from billing.services.ledger import Place, Posting
from marketplace.core.errors import Conflict
from marketplace.core.states import transition

Kind = LedgerAccount.Kind


def request(*, payout: Payout, reason: str, actor: User | None) -> Payout:
    """Write the command that fetches it back. Asking again changes nothing. Raises Conflict `payout_not_paid`."""
    with transaction.atomic():
        row = Payout.objects.select_for_update().get(pk=payout.pk)
        if row.status not in (Payout.Status.PAID, Payout.Status.REVERSED):
            raise Conflict("Only a payout that was paid can be fetched back.", code="payout_not_paid")
        if row.reverse_command_id is None and row.status == Payout.Status.PAID:
            row.reverse_command = outbox.queue(
                kind=StripeCommand.Kind.REVERSE_TRANSFER, subject_id=row.pk,
                idempotency_key=f"payout:{row.public_id}:reversal:v1",
            )  # fmt: skip
            row.save(update_fields=["reverse_command"])
            audit.record(actor=actor, action="payout.reverse", subject=row.public_id, reason=reason)
    return row


def apply(transfer: Transfer) -> bool:
    """What Stripe says of a transfer that was fetched back, by us or in Stripe's dashboard. False when it is not ours.

    Raises Conflict `partly_reversed`: the books know only whole payouts, so an operator must look.
    """
    with transaction.atomic():
        row = Payout.objects.select_for_update().filter(stripe_transfer_id=transfer.id).first()
        if row is None:
            return False
        back_micro = to_micro(transfer.reversed_minor, transfer.currency)
        if 0 < back_micro < row.amount_micro:
            raise Conflict("Only a part was fetched back.", code="partly_reversed", payout=str(row.public_id))
        if back_micro:
            book(row)
    return True


def book(row: Payout) -> None:
    """The money is ours again and owed to the owner again: stripe_clearing -> payable. Once. With the row locked."""
    if row.status != Payout.Status.PAID:
        return
    places = [Place(kind=Kind.STRIPE_CLEARING, currency=row.currency),
              Place(kind=Kind.PAYABLE, currency=row.currency, owner_id=row.owner_id)]  # fmt: skip
    accounts = ledger.accounts(places)
    ledger.post([
        Posting(
            kind=LedgerTransfer.Kind.TRANSFER, debit=accounts[places[0]], credit=accounts[places[1]],
            amount_micro=row.amount_micro, idempotency_key=f"payout:{row.public_id}:reversed",
            meta={"payout": str(row.public_id)},
        )
    ])  # fmt: skip
    transition(row, Payout.Status.REVERSED, ended_at=timezone.now())
