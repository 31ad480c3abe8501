"""Commands to Stripe about payouts: make an owner's account there, transfer to it, and fetch a transfer back."""

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from accounts.mails import outbox
from billing.ledger import posting
from billing.ledger.posting import Place, Posting
from billing.models import ConnectedAccount, LedgerAccount, LedgerTransfer, Payout, StripeCommand
from billing.payouts import account_states, reversals
from billing.stripe import gateway
from billing.stripe.amounts import to_micro, to_minor
from billing.stripe.commands import Sent, StripeCommandKind
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


class TransferCommand(StripeCommandKind):
    """Pay one payout: a transfer from our balance at Stripe to the owner's account there."""

    kind = StripeCommand.Kind.CREATE_TRANSFER

    def params(self, command: StripeCommand) -> dict[str, Any]:
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

    def send(self, command: StripeCommand) -> Sent:
        return _sent(gateway.create_transfer(command.params or {}, idempotency_key=command.idempotency_key), command)

    def find(self, command: StripeCommand) -> Sent | None:
        """The transfer of this payout, whichever of its commands made it. Stripe lists what it made at once."""
        wanted = command.params or {}
        found = gateway.find_transfer(group=wanted["transfer_group"], payout=wanted["metadata"]["payout"])
        return _sent(found, command) if found else None

    def done(self, command: StripeCommand, sent: Sent) -> None:
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

    def dead(self, command: StripeCommand, error: DomainError) -> None:
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

    def may_retry(self, command: StripeCommand) -> None:
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


class ReversalCommand(StripeCommandKind):
    """Fetch a payout's transfer back: fraud, or a wrong payee. Works while the account there has it."""

    kind = StripeCommand.Kind.REVERSE_TRANSFER

    def params(self, command: StripeCommand) -> dict[str, Any]:
        row = Payout.objects.get(pk=command.subject_id)
        return {"metadata": {"payout": str(row.public_id), "command": command.idempotency_key}}

    def send(self, command: StripeCommand) -> Sent:
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

    def find(self, command: StripeCommand) -> Sent | None:
        found = gateway.find_reversal(_transfer(command), command=command.idempotency_key)
        return Sent(found) if found else None

    def done(self, command: StripeCommand, sent: Sent) -> None:
        reversals.book(Payout.objects.select_for_update().get(pk=command.subject_id))

    def dead(self, command: StripeCommand, error: DomainError) -> None:
        """Still paid; operators see why it could not be fetched back, and may ask for it again."""
        Payout.objects.filter(pk=command.subject_id, status=Payout.Status.PAID, reverse_command=command).update(
            status_code=f"reversal_{error.code}"[:64]
        )

    def may_retry(self, command: StripeCommand) -> None:
        """Only the last one: another may be under way."""
        row = Payout.objects.select_for_update().get(pk=command.subject_id)
        if row.status != Payout.Status.PAID or row.reverse_command_id != command.pk:
            raise Conflict("The payout no longer waits for this reversal.", code="payout_not_waiting")


def _transfer(command: StripeCommand) -> str:
    return str(Payout.objects.values_list("stripe_transfer_id", flat=True).get(pk=command.subject_id))


class AccountCommand(StripeCommandKind):
    """Make an owner's account at Stripe: where the owner is paid."""

    kind = StripeCommand.Kind.CREATE_ACCOUNT

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Somebody who receives transfers and is not a merchant; fees and losses are ours. No person is named here.

        Name and e-mail are added when it is sent, so that they are kept nowhere but with the person.
        """
        row = ConnectedAccount.objects.select_related("owner").get(pk=command.subject_id)
        return {
            "dashboard": "express",
            "identity": {"country": row.country.lower(), "entity_type": "individual"},
            "configuration": {
                "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}},
            },
            "defaults": {
                "currency": row.currency.lower(),
                "responsibilities": {"fees_collector": "application", "losses_collector": "application"},
            },
            "metadata": {"owner": str(row.owner.public_id), "command": command.idempotency_key},
        }

    def send(self, command: StripeCommand) -> Sent:
        """With e-mail and display name of the owner, who is asked for everything else by Stripe itself."""
        owner = ConnectedAccount.objects.select_related("owner__user").get(pk=command.subject_id).owner
        if owner.erased_at:
            raise StripeRefused("The owner has been erased.", code="owner_closed")
        person = {"contact_email": owner.user.email, "display_name": owner.name}
        try:
            made = gateway.create_account((command.params or {}) | person, idempotency_key=command.idempotency_key)
        except StripeRefused as error:  # its words may repeat ours, and are kept with the command
            raise type(error)("Stripe refused the account.", code=error.code, **error.fields) from error
        return Sent(made.id)

    def find(self, command: StripeCommand) -> Sent | None:
        found = gateway.find_account(command=command.idempotency_key)
        return Sent(found.id) if found else None

    def done(self, command: StripeCommand, sent: Sent) -> None:
        """There is an account, and the owner has to fill it in."""
        row = ConnectedAccount.objects.select_for_update().get(pk=command.subject_id)
        if row.stripe_id is None:
            row.stripe_id = sent.object_id
            row.save(update_fields=["stripe_id"])
        if row.status in (row.Status.CREATED, row.Status.FAILED):
            transition(row, row.Status.ONBOARDING)

    def dead(self, command: StripeCommand, error: DomainError) -> None:
        row = ConnectedAccount.objects.select_for_update().get(pk=command.subject_id)
        if row.status == row.Status.CREATED:
            transition(row, row.Status.FAILED, code=error.code, checked_at=timezone.now())

    def may_retry(self, command: StripeCommand) -> None:
        """Not for an account that was given up for another one."""
        account_states.refuse_closed(ConnectedAccount.objects.select_for_update().get(pk=command.subject_id))
