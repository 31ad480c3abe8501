"""Payouts that come back from the owner's account at Stripe: fraud, or a wrong payee; asked for here, or in Stripe's dashboard."""

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
from billing.ledger.posting import Place, Posting
from billing.models import BalanceTransaction, LedgerAccount, LedgerTransfer, Payout, StripeCommand
from billing.payouts import suspicions
from billing.stripe import gateway, outbox, rounds
from billing.stripe.amounts import to_micro
from billing.stripe.gateway import StripeUnavailable, Transfer
from core.errors import Conflict, InvalidInput
from core.locale import format_money
from core.states import transition

Kind = LedgerAccount.Kind
Status = Payout.Status
PARTLY = "partly_reversed"
REACH = timedelta(days=90)


class ReversalComing(StripeUnavailable):
    """A transfer was fetched back before we wrote down that it was made: look again in a moment."""

    code = "reversal_coming"


def request(*, payout: Payout, reason: str, actor: User | None, cause: str) -> Payout:
    """Write the command that fetches it back, and why. While one is under way, or has done it, asking again writes no other;
    after one that surely did nothing it does. For `fraud` all else that the owner is due is held; what came of a
    `wrong_payee` is paid with the next statement. The last word about the cause counts.

    Raises InvalidInput `cause_invalid`, and Conflict: `payout_not_paid`; `reversal_unknown` when nobody knows what came of the
    last command, which must be tried again then.
    """
    check_cause(cause)
    with transaction.atomic():
        last, row = _locked(payout)
        if row.status not in (Status.PAID, Status.REVERSED):
            raise Conflict("Only a payout that was paid can be fetched back.", code="payout_not_paid")
        changes: dict[str, Any] = {"reverse_cause": cause} if cause != row.reverse_cause else {}
        if row.status == Status.PAID and (last is None or last.status == StripeCommand.Status.DEAD):
            changes |= {"reverse_command": _command(row, last), "status_code": ""}
        if changes:
            Payout.objects.filter(pk=row.pk).update(**changes)
            audit.record(actor=actor, action="payout.reverse", subject=row.public_id, reason=reason, cause=cause)
            suspicions.hold()
    return Payout.objects.get(pk=row.pk)


def check_cause(cause: str) -> None:
    """Raises InvalidInput `cause_invalid`."""
    if cause not in Payout.CAUSES:
        raise InvalidInput("Say whether it was fraud or a wrong payee.", code="cause_invalid")


def _locked(payout: Payout) -> tuple[StripeCommand | None, Payout]:
    """The payout and its last command to fetch it back, in the order in which the outbox locks them."""
    command_id = Payout.objects.values_list("reverse_command_id", flat=True).get(pk=payout.pk)
    command = StripeCommand.objects.select_for_update().filter(pk=command_id).first()
    row = Payout.objects.select_for_update().get(pk=payout.pk)
    if row.reverse_command_id != command_id:
        raise Conflict("Somebody else asked for it just now.", code="reversal_under_way")
    return command, row


def _command(row: Payout, last: StripeCommand | None) -> StripeCommand:
    """Under a new key each time: Stripe repeats its refusal under the old one."""
    if last and last.outcome_unknown:
        raise Conflict("Nobody knows whether it was fetched back: try that command again.", code="reversal_unknown")
    kind = StripeCommand.Kind.REVERSE_TRANSFER
    count = StripeCommand.objects.filter(kind=kind, subject_id=row.pk).count()
    return outbox.queue(kind=kind, subject_id=row.pk, idempotency_key=f"payout:{row.public_id}:reversal:v{count + 1}")


def apply(transfer: Transfer) -> bool:
    """What Stripe says of a transfer that was fetched back, by us or in Stripe's dashboard. False when it is not ours.

    Raises Conflict `partly_reversed` while only a part has come back, since the books know only whole payouts: once the rest
    has, its own event, the next sweep, or this one acted on again books it. Raises ReversalComing while the transfer itself
    is not written down yet.
    """
    with transaction.atomic():
        row = _row_of(transfer)
        if row is None:
            return False
        if row.status == Status.SENDING:
            raise ReversalComing
        is_whole = come_back(row, transfer)
    if transfer.reversed_minor and not is_whole:
        back = format_money(to_micro(transfer.reversed_minor, transfer.currency), transfer.currency)
        raise Conflict(
            f"Only {back} of {format_money(row.amount_micro, row.currency)} came back. Fetch back the rest, here or in"
            " Stripe's dashboard, and all of it is booked.",
            code=PARTLY,
            payout=str(row.public_id),
        )
    return True


def come_back(row: Payout, transfer: Transfer) -> bool:
    """Book what came back, if it is the whole; whether it is. With the row locked, which was sent by this transfer."""
    if is_whole(transfer):
        book(row)
        return True
    if transfer.reversed_minor and row.status == Status.PAID and row.status_code != PARTLY:
        row.status_code = PARTLY
        row.save(update_fields=["status_code"])
    return False


def is_whole(transfer: Transfer) -> bool:
    return transfer.reversed_minor >= transfer.amount_minor


def book(row: Payout) -> None:
    """The money is ours again and owed to the owner again. Once. With the row locked."""
    if row.status == Status.PAID:
        ledger.post([posting(row)])
        reversed_now(row)


def posting(row: Payout) -> Posting:
    """stripe_clearing -> payable."""
    places = [
        Place(kind=Kind.STRIPE_CLEARING, currency=row.currency),
        Place(kind=Kind.PAYABLE, currency=row.currency, owner_id=row.owner_id),
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


def reversed_now(row: Payout) -> None:
    """Nobody told us why it came back in Stripe's dashboard."""
    cause = row.reverse_cause or Payout.Cause.UNKNOWN
    transition(row, Status.REVERSED, ended_at=timezone.now(), reverse_cause=cause)


def sweep(*, limit: int = 100) -> int:
    """Look again at transfers that our balance shows as come back whole, while we have them as paid: what no event told.

    One that cannot be acted on is logged, and the others are looked at. How many there were. Raises StripeUnavailable.
    """
    back = BalanceTransaction.objects.filter(type="transfer_refund")
    recent = back.filter(occurred_at__gt=timezone.now() - REACH).exclude(transfer_id="")
    of_one = back.filter(transfer_id=OuterRef("stripe_transfer_id")).order_by().values("transfer_id")
    rows = Payout.objects.filter(status=Status.PAID, stripe_transfer_id__in=recent.values("transfer_id")).annotate(
        back_micro=Subquery(of_one.annotate(micro=Sum("amount_micro")).values("micro"))
    )
    ids = list(rows.filter(back_micro__gte=F("amount_micro")).values_list("stripe_transfer_id", flat=True)[:limit])
    rounds.look_again(ids, lambda transfer_id: apply(gateway.retrieve_transfer(str(transfer_id))))
    return len(ids)


def _row_of(transfer: Transfer) -> Payout | None:
    """Ours, held: by the transfer's id, or, before we wrote that down, by what we wrote on it."""
    known = Q(stripe_transfer_id=transfer.id)
    with suppress(ValueError):  # somebody made it by hand
        known |= Q(public_id=UUID(transfer.payout), status=Status.SENDING, stripe_transfer_id=None)
    return Payout.objects.select_for_update().filter(known).first()
