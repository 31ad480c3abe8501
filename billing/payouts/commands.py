"""Commands to Stripe about payouts: create an owner's account, transfer money to it, reverse a transfer."""

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from accounts.mails import outbox
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import ConnectedAccount, LedgerAccount, LedgerTransfer, Payout, StripeCommand
from billing.payouts import account_states, reversals
from billing.stripe import gateway
from billing.stripe.amounts import to_micro, to_minor
from billing.stripe.commands import CommandResult, StripeCommandKind
from billing.stripe.gateway import StripeRefused, StripeUnknownOutcome, Transfer
from core.errors import Conflict, DomainError
from core.states import transition

Status = Payout.Status
Kind = LedgerAccount.Kind
# Stripe's error codes after which a payout is scheduled again; after any other refusal it waits for an operator.
LOW_BALANCE_CODES = {"balance_insufficient"}
ACCOUNT_NOT_READY_CODES = {"insufficient_capabilities_for_transfer", "account_closed", "account_invalid"}


@dataclass(frozen=True, kw_only=True)
class TransferResult(CommandResult):
    """Stripe's answer to a transfer, with the transfer itself: if it is found late, it may be reversed already."""

    transfer: Transfer


class TransferMismatch(StripeUnknownOutcome):
    """The transfer that Stripe has for this payout differs from the one that was requested."""

    code = "transfer_mismatch"


class TransferCommand(StripeCommandKind):
    """Send one payout: a transfer from our balance at Stripe to the owner's account there."""

    kind = StripeCommand.Kind.CREATE_TRANSFER

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return the transfer of the whole amount to the payout's account. `transfer_group` is the statement's id.

        It has no `source_transaction`, since the money comes from the top-ups of many customers.
        """
        row = Payout.objects.select_related("statement", "account").get(pk=command.subject_id)
        assert row.account is not None  # set in the transaction that wrote the command
        return {
            "amount": to_minor(row.amount_micro, row.currency),
            "currency": row.currency.lower(),
            "destination": row.account.stripe_id,
            "transfer_group": str(row.statement.public_id),
            "metadata": {"payout": str(row.public_id), "command": command.idempotency_key},
        }

    def send(self, command: StripeCommand) -> CommandResult:
        return _sent(gateway.create_transfer(command.params or {}, idempotency_key=command.idempotency_key), command)

    def find(self, command: StripeCommand) -> CommandResult | None:
        """Return the transfer of this payout, whichever of its commands made it. Stripe lists new transfers at once."""
        wanted = command.params or {}
        found = gateway.find_transfer(group=wanted["transfer_group"], payout=wanted["metadata"]["payout"])
        return _sent(found, command) if found else None

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Mark the payout as paid and post it (in_transit -> stripe_clearing), dated by Stripe's transfer.

        If the transfer has been reversed as a whole meanwhile, post that as well, and send no mail.
        """
        assert isinstance(sent, TransferResult)
        row = Payout.objects.select_for_update(of=("self",)).select_related("owner__user").get(pk=command.subject_id)
        if row.status != Status.SENDING:
            return
        places = [
            AccountName(kind=Kind.IN_TRANSIT, currency=row.currency, owner_id=row.owner_id),
            AccountName(kind=Kind.STRIPE_CLEARING, currency=row.currency),
        ]
        accounts = posting.accounts(places)
        is_reversed = reversals.is_whole(sent.transfer)
        if not is_reversed:
            outbox.queue(
                user=row.owner.user,
                kind="payout-sent",
                dedupe_key=f"payout-sent:{row.pk}",
                context={"amount_micro": row.amount_micro, "currency": row.currency},
            )
        # Postings come last in a transaction, since they lock accounts. Here the payout is updated after them, because
        # it needs the id of the transfer; its row is locked already.
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
                *([reversals.posting(row)] if is_reversed else []),
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
        if is_reversed:
            reversals.mark_reversed(row)
        else:
            reversals.book_if_whole(row, sent.transfer)

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Schedule the payout again if the refusal is temporary and nothing was sent, else leave it to operators."""
        row = Payout.objects.select_for_update().get(pk=command.subject_id)
        if row.status != Status.SENDING or row.command_id != command.pk:
            return
        refusal = error.fields.get("stripe_code") if isinstance(error, StripeRefused) else None
        if not command.outcome_unknown and refusal in LOW_BALANCE_CODES:
            transition(row, Status.SCHEDULED, code="balance_low", command=None, account=None)
        elif not command.outcome_unknown and refusal in ACCOUNT_NOT_READY_CODES:
            _mark_account_unready(command)
            transition(row, Status.SCHEDULED, code="account_not_ready", command=None, account=None)
        else:
            row.status_code = "outcome_unknown" if command.outcome_unknown else error.code
            row.save(update_fields=["status_code"])

    def may_retry(self, command: StripeCommand) -> None:
        """Raise Conflict (`payout_not_waiting`) if the payout was returned, or is sent by another command now."""
        row = Payout.objects.select_for_update().get(pk=command.subject_id)
        if row.status != Status.SENDING or row.command_id != command.pk:
            raise Conflict("The payout no longer waits for this transfer.", code="payout_not_waiting")


def _sent(found: Transfer, command: StripeCommand) -> CommandResult:
    """Return Stripe's answer if the transfer is the one that was requested, else raise TransferMismatch.

    A transfer with another destination or amount must not be taken for ours: the money may be where nobody expects it.
    """
    wanted = command.params or {}
    same = (
        found.payout == wanted["metadata"]["payout"]
        and found.destination_id == wanted["destination"]
        and found.amount_minor == wanted["amount"]
        and found.currency == wanted["currency"].upper()
    )
    if not same:
        raise TransferMismatch(transfer=found.id, amount_micro=to_micro(found.amount_minor, found.currency))
    return TransferResult(found.id, made_at=found.created_at, transfer=found)


def _mark_account_unready(command: StripeCommand) -> None:
    """Set the account, which we believed ready, to PENDING: nothing more is sent to it until it is read again."""
    destination, ready = (command.params or {}).get("destination"), ConnectedAccount.Status.ACTIVE
    for row in ConnectedAccount.objects.select_for_update().filter(stripe_id=destination, status=ready):
        transition(row, ConnectedAccount.Status.PENDING, code="transfer_refused")


class ReversalCommand(StripeCommandKind):
    """Reverse a payout's transfer (fraud or wrong payee). Stripe can do it while the owner's account has the money."""

    kind = StripeCommand.Kind.REVERSE_TRANSFER

    def params(self, command: StripeCommand) -> dict[str, Any]:
        row = Payout.objects.get(pk=command.subject_id)
        return {"metadata": {"payout": str(row.public_id), "command": command.idempotency_key}}

    def send(self, command: StripeCommand) -> CommandResult:
        """Reverse what is left of the transfer. An earlier reversal in Stripe's dashboard counts as success."""
        transfer_id = _transfer_id(command)
        try:
            return CommandResult(
                gateway.reverse_transfer(transfer_id, command.params or {}, idempotency_key=command.idempotency_key)
            )
        except StripeRefused:
            if reversals.is_whole(gateway.retrieve_transfer(transfer_id)):
                return CommandResult("")
            raise

    def find(self, command: StripeCommand) -> CommandResult | None:
        found = gateway.find_reversal(_transfer_id(command), command=command.idempotency_key)
        return CommandResult(found) if found else None

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        reversals.book(Payout.objects.select_for_update().get(pk=command.subject_id))

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Keep the payout as paid, with the reason why the reversal failed; operators may request it again."""
        Payout.objects.filter(pk=command.subject_id, status=Payout.Status.PAID, reverse_command=command).update(
            status_code=f"reversal_{error.code}"[:64]
        )

    def may_retry(self, command: StripeCommand) -> None:
        """Raise Conflict (`payout_not_waiting`) if this is not the payout's latest reversal."""
        row = Payout.objects.select_for_update().get(pk=command.subject_id)
        if row.status != Payout.Status.PAID or row.reverse_command_id != command.pk:
            raise Conflict("The payout no longer waits for this reversal.", code="payout_not_waiting")


def _transfer_id(command: StripeCommand) -> str:
    return str(Payout.objects.values_list("stripe_transfer_id", flat=True).get(pk=command.subject_id))


class AccountCommand(StripeCommandKind):
    """Create the account at Stripe to which an owner is paid."""

    kind = StripeCommand.Kind.CREATE_ACCOUNT

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return the account of a person who receives transfers and is not a merchant; fees and losses are ours.

        Name and e-mail address are not stored with the command: `send` adds them, so that we keep them only with the
        owner.
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

    def send(self, command: StripeCommand) -> CommandResult:
        """Create the account with the owner's e-mail address and name; Stripe asks the owner for everything else."""
        owner = ConnectedAccount.objects.select_related("owner__user").get(pk=command.subject_id).owner
        if owner.erased_at:
            raise StripeRefused("The owner has been erased.", code="owner_closed")
        person = {"contact_email": owner.user.email, "display_name": owner.name}
        try:
            made = gateway.create_account((command.params or {}) | person, idempotency_key=command.idempotency_key)
        except StripeRefused as error:
            # Stripe's message may repeat the name or the address, and a message is stored with the command: leave it
            # out.
            raise type(error)("Stripe refused the account.", code=error.code, **error.fields) from error
        return CommandResult(made.id)

    def find(self, command: StripeCommand) -> CommandResult | None:
        found = gateway.find_account(command=command.idempotency_key)
        return CommandResult(found.id) if found else None

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Store the account's id; the owner has to fill the account in now."""
        row = ConnectedAccount.objects.select_for_update().get(pk=command.subject_id)
        if row.stripe_id is None:
            row.stripe_id = sent.object_id
            row.save(update_fields=["stripe_id"])
        if row.status in (row.Status.CREATED, row.Status.FAILED):
            transition(row, row.Status.ONBOARDING)

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        row = ConnectedAccount.objects.select_for_update().get(pk=command.subject_id)
        if row.status == row.Status.CREATED:
            transition(row, row.Status.FAILED, code=error.code, checked_at=timezone.now())

    def may_retry(self, command: StripeCommand) -> None:
        """Raise Conflict (`account_closed`) if the account was given up and another one requested."""
        account_states.refuse_closed(ConnectedAccount.objects.select_for_update().get(pk=command.subject_id))
