"""Reversals of payouts: the money comes back from the owner's account at Stripe, for fraud or a wrong payee.

Operators request a reversal here, or make it in Stripe's dashboard. Our books know only whole payouts: a transfer of
which a part came back is an error (`partly_reversed`) until the rest has come back too.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery, Sum
from django.utils import timezone

from accounts.access import audit
from accounts.models import User
from billing.ledger import posting as ledger
from billing.ledger.posting import AccountName, Posting
from billing.models import BalanceTransaction, LedgerAccount, LedgerTransfer, Payout, StripeCommand
from billing.payouts import suspicions
from billing.stripe import batches, gateway, outbox
from billing.stripe.amounts import to_micro
from billing.stripe.gateway import StripeUnavailable, Transfer
from core.errors import Conflict, InvalidInput
from core.locale import format_money
from core.states import transition

Kind = LedgerAccount.Kind
Status = Payout.Status
PARTLY = "partly_reversed"
LOOK_BACK = timedelta(days=90)  # how far back `sweep` looks


class ReversedBeforeStored(StripeUnavailable):
    """A transfer was reversed before we stored that it was made: try again in a moment."""

    code = "reversal_coming"


def request(*, payout: Payout, reason: str, actor: User | None, cause: str) -> Payout:
    """Queue the command that reverses a paid payout, store the cause, and return the payout.

    Asking again writes no second command, unless the last one certainly did nothing; it may change the cause. For
    `fraud`, the owner's other payouts are held. After `wrong_payee`, the amount is paid with the next statement.

    Raises InvalidInput (`cause_invalid`), and Conflict: `payout_not_paid`; `reversal_under_way` if another request
    wrote a command at the same moment; `reversal_unknown` if the outcome of the last command is unknown: that one has
    to be tried again.
    """
    check_cause(cause)
    with transaction.atomic():
        last_command, row = _locked(payout)
        if row.status not in (Status.PAID, Status.REVERSED):
            raise Conflict("Only a payout that was paid can be taken back.", code="payout_not_paid")
        changes: dict[str, Any] = {"reverse_cause": cause} if cause != row.reverse_cause else {}
        if row.status == Status.PAID and (last_command is None or last_command.status == StripeCommand.Status.DEAD):
            changes |= {"reverse_command": _queue_command(row, last_command), "status_code": ""}
        if changes:
            Payout.objects.filter(pk=row.pk).update(**changes)
            audit.record(actor=actor, action="payout.reverse", subject=row.public_id, reason=reason, cause=cause)
            suspicions.hold()
    return Payout.objects.get(pk=row.pk)


def check_cause(cause: str) -> None:
    """Raise InvalidInput (`cause_invalid`) unless an operator may give this cause."""
    if cause not in Payout.CAUSES:
        raise InvalidInput("Say whether it was fraud or a wrong payee.", code="cause_invalid")


def _locked(payout: Payout) -> tuple[StripeCommand | None, Payout]:
    """Return the payout's last reversal command and the payout, locked in this order, as the outbox does it."""
    command_id = Payout.objects.values_list("reverse_command_id", flat=True).get(pk=payout.pk)
    command = StripeCommand.objects.select_for_update().filter(pk=command_id).first()
    row = Payout.objects.select_for_update().get(pk=payout.pk)
    if row.reverse_command_id != command_id:
        raise Conflict("Another operator requested the reversal at the same moment.", code="reversal_under_way")
    return command, row


def _queue_command(row: Payout, last_command: StripeCommand | None) -> StripeCommand:
    """Queue a reversal under a new key: under the old key Stripe would repeat its refusal."""
    if last_command and last_command.outcome_unknown:
        raise Conflict(
            "It is unknown whether the last command took the money back: try that command again.",
            code="reversal_unknown",
        )
    kind = StripeCommand.Kind.REVERSE_TRANSFER
    count = StripeCommand.objects.filter(kind=kind, subject_id=row.pk).count()
    return outbox.queue(kind=kind, subject_id=row.pk, idempotency_key=f"payout:{row.public_id}:reversal:v{count + 1}")


def apply(transfer: Transfer) -> bool:
    """Book a transfer that was reversed, by us or in Stripe's dashboard. Returns False if the transfer is not ours.

    Raises Conflict (`partly_reversed`) while only a part has come back. When the rest comes back, its own event, the
    next sweep or a retry of this event books the whole. Raises ReversedBeforeStored while the transfer itself is not
    stored yet.
    """
    with transaction.atomic():
        row = _row_of(transfer)
        if row is None:
            return False
        if row.status == Status.SENDING:
            raise ReversedBeforeStored
        is_whole = book_if_whole(row, transfer)
    if transfer.reversed_minor and not is_whole:
        back = format_money(to_micro(transfer.reversed_minor, transfer.currency), transfer.currency)
        raise Conflict(
            f"Only {back} of {format_money(row.amount_micro, row.currency)} came back. Take back the rest, here or in"
            " Stripe's dashboard; the whole amount is booked then.",
            code=PARTLY,
            payout=str(row.public_id),
        )
    return True


def book_if_whole(row: Payout, transfer: Transfer) -> bool:
    """Book the reversal if the whole transfer came back, and return whether it did.

    If only a part came back, that is noted on the payout. The caller has locked the row, which was paid by this
    transfer.
    """
    if is_whole(transfer):
        book(row)
        return True
    if transfer.reversed_minor and row.status == Status.PAID and row.status_code != PARTLY:
        row.status_code = PARTLY
        row.save(update_fields=["status_code"])
    return False


def is_whole(transfer: Transfer) -> bool:
    """Return whether the whole transfer was reversed."""
    return transfer.reversed_minor >= transfer.amount_minor


def book(row: Payout) -> None:
    """Post the reversal and mark the payout as reversed, once. The caller has locked the row."""
    if row.status == Status.PAID:
        ledger.post([posting(row)])
        mark_reversed(row)


def posting(row: Payout) -> Posting:
    """Return the posting of a reversal, stripe_clearing -> payable: the money is owed to the owner again."""
    places = [
        AccountName(kind=Kind.STRIPE_CLEARING, currency=row.currency),
        AccountName(kind=Kind.PAYABLE, currency=row.currency, owner_id=row.owner_id),
    ]
    accounts = ledger.accounts(places)
    return Posting(
        kind=LedgerTransfer.Kind.TRANSFER,
        debit=accounts[places[0]],
        credit=accounts[places[1]],
        amount_micro=row.amount_micro,
        idempotency_key=f"payout:{row.public_id}:reversed",
        meta={"payout": str(row.public_id)},
    )


def mark_reversed(row: Payout) -> None:
    """Mark the payout as reversed. Without an operator's cause it was reversed in Stripe's dashboard: cause UNKNOWN."""
    cause = row.reverse_cause or Payout.Cause.UNKNOWN
    transition(row, Status.REVERSED, ended_at=timezone.now(), reverse_cause=cause)


def sweep(*, limit: int = 100) -> int:
    """Handle transfers that our balance at Stripe shows as reversed and our payouts show as paid: their event was lost.

    Only whole reversals of the last LOOK_BACK days are looked for. One that cannot be handled is logged, and the others
    go on. Returns how many there were. Raises StripeUnavailable.
    """
    back = BalanceTransaction.objects.filter(type="transfer_refund")
    recent = back.filter(occurred_at__gt=timezone.now() - LOOK_BACK).exclude(transfer_id="")
    of_one = back.filter(transfer_id=OuterRef("stripe_transfer_id")).order_by().values("transfer_id")
    rows = Payout.objects.filter(status=Status.PAID, stripe_transfer_id__in=recent.values("transfer_id")).annotate(
        back_micro=Subquery(of_one.annotate(micro=Sum("amount_micro")).values("micro"))
    )
    ids = list(rows.filter(back_micro__gte=F("amount_micro")).values_list("stripe_transfer_id", flat=True)[:limit])
    batches.refresh_each(ids, lambda transfer_id: apply(gateway.retrieve_transfer(str(transfer_id))))
    return len(ids)


def _row_of(transfer: Transfer) -> Payout | None:
    """Return our payout, locked, or None: by the transfer's id, or by its metadata if that id is not stored yet."""
    known = Q(stripe_transfer_id=transfer.id)
    with suppress(ValueError):  # a transfer made by hand has no payout in its metadata
        known |= Q(public_id=UUID(transfer.payout), status=Status.SENDING, stripe_transfer_id=None)
    return Payout.objects.select_for_update().filter(known).first()
