"""The command that pays one payout: a transfer from our balance at Stripe to the owner's account there."""

from dataclasses import dataclass
from typing import Any

from accounts.mails import outbox
from billing.ledger import posting
from billing.ledger.posting import Place, Posting
from billing.models import ConnectedAccount, LedgerAccount, LedgerTransfer, Payout, StripeCommand
from billing.payouts import reversals
from billing.stripe import gateway
from billing.stripe.amounts import to_micro, to_minor
from billing.stripe.commands import Sent
from billing.stripe.gateway import StripeRefused, StripeUnknownOutcome, Transfer
from core.errors import Conflict, DomainError
from core.states import transition

Status = Payout.Status
Kind = LedgerAccount.Kind
# What Stripe's refusal means for the payout; any other one waits for an operator.
LOW = {"balance_insufficient"}
NOT_READY = {"insufficient_capabilities_for_transfer", "account_closed", "account_invalid"}


@dataclass(frozen=True, kw_only=True)
class Transferred(Sent):
    """Found late, it may have been fetched back already, in Stripe's dashboard."""

    transfer: Transfer


class TransferMismatch(StripeUnknownOutcome):
    """The transfer that Stripe has for this payout is not the one that was asked for."""

    code = "transfer_mismatch"


def params(command: StripeCommand) -> dict[str, Any]:
    """The whole amount to the account that the payout was bound to. `transfer_group` is the statement's id.

    No `source_transaction`: what is paid comes from many customers' top-ups.
    """
    row = Payout.objects.select_related("statement", "account").get(pk=command.subject_id)
    assert row.account is not None  # bound in the transaction that wrote the command
    return {
        "amount": to_minor(row.amount_micro, row.currency),
        "currency": row.currency.lower(),
        "destination": row.account.stripe_id,
        "transfer_group": str(row.statement.public_id),
        "metadata": {"payout": str(row.public_id), "command": command.idempotency_key},
    }


def send(command: StripeCommand) -> Sent:
    return _sent(gateway.create_transfer(command.params or {}, idempotency_key=command.idempotency_key), command)


def find(command: StripeCommand) -> Sent | None:
    """The transfer of this payout, whichever of its commands made it. Stripe lists what it made at once."""
    wanted = command.params or {}
    found = gateway.find_transfer(group=wanted["transfer_group"], payout=wanted["metadata"]["payout"])
    return _sent(found, command) if found else None


def done(command: StripeCommand, sent: Sent) -> None:
    """Paid: in_transit -> stripe_clearing, on the day on which Stripe made the transfer. And back, if it was fetched back."""
    assert isinstance(sent, Transferred)
    row = Payout.objects.select_for_update(of=("self",)).select_related("owner__user").get(pk=command.subject_id)
    if row.status != Status.SENDING:
        return
    places = [
        Place(kind=Kind.IN_TRANSIT, currency=row.currency, owner_id=row.owner_id),
        Place(kind=Kind.STRIPE_CLEARING, currency=row.currency),
    ]
    accounts = posting.accounts(places)
    is_back = reversals.is_whole(sent.transfer)
    if not is_back:
        outbox.queue(
            user=row.owner.user,
            kind="payout-sent",
            dedupe_key=f"payout-sent:{row.pk}",
            context={"amount_micro": row.amount_micro, "currency": row.currency},
        )
    # The ledger last, as ever; but the row needs the posting's id, and its own lock is ours already.
    posted = posting.post(
        [
            Posting(
                kind=LedgerTransfer.Kind.TRANSFER,
                debit=accounts[places[0]],
                credit=accounts[places[1]],
                amount_micro=row.amount_micro,
                idempotency_key=f"payout:{row.public_id}:sent",
                effective_at=sent.made_at,
                meta={"payout": str(row.public_id), "stripe_transfer": sent.object_id},
            ),
            *([reversals.posting(row)] if is_back else []),
        ]
    )
    transition(
        row,
        Status.PAID,
        sent=posted.transfers[0],
        paid_at=sent.made_at,
        stripe_transfer_id=sent.object_id,
        bank_status="pending",
    )
    if is_back:
        reversals.reversed_now(row)
    else:
        reversals.come_back(row, sent.transfer)


def dead(command: StripeCommand, error: DomainError) -> None:
    """Given up. Refused for a reason that passes, and surely not done: it waits for its turn again. Else for operators."""
    row = Payout.objects.select_for_update().get(pk=command.subject_id)
    if row.status != Status.SENDING or row.command_id != command.pk:
        return
    refusal = error.fields.get("stripe_code") if isinstance(error, StripeRefused) else None
    if not command.outcome_unknown and refusal in LOW:
        transition(row, Status.SCHEDULED, code="balance_low", command=None, account=None)
    elif not command.outcome_unknown and refusal in NOT_READY:
        _doubt(command)
        transition(row, Status.SCHEDULED, code="account_not_ready", command=None, account=None)
    else:
        row.status_code = "outcome_unknown" if command.outcome_unknown else error.code
        row.save(update_fields=["status_code"])


def may_retry(command: StripeCommand) -> None:
    """Only while its payout waits for this very command: not when it was returned, or is sent by another one."""
    row = Payout.objects.select_for_update().get(pk=command.subject_id)
    if row.status != Status.SENDING or row.command_id != command.pk:
        raise Conflict("The payout no longer waits for this transfer.", code="payout_not_waiting")


def _sent(found: Transfer, command: StripeCommand) -> Sent:
    """Never take a transfer for ours that is not the one that was asked for: money may be where nobody expects it."""
    wanted = command.params or {}
    same = (
        found.payout == wanted["metadata"]["payout"]
        and found.destination_id == wanted["destination"]
        and found.amount_minor == wanted["amount"]
        and found.currency == wanted["currency"].upper()
    )
    if not same:
        raise TransferMismatch(transfer=found.id, amount_micro=to_micro(found.amount_minor, found.currency))
    return Transferred(found.id, made_at=found.created_at, transfer=found)


def _doubt(command: StripeCommand) -> None:
    """We thought that it was ready. Until it is read again, nothing more is sent there."""
    destination, ready = (command.params or {}).get("destination"), ConnectedAccount.Status.ACTIVE
    for row in ConnectedAccount.objects.select_for_update().filter(stripe_id=destination, status=ready):
        transition(row, ConnectedAccount.Status.PENDING, code="transfer_refused")
