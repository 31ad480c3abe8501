"""What comes of charging a saved card: money in the wallet, a bank that takes its time, or a pause."""

from django.db import transaction
from django.utils import timezone

from billing.models import CardTopUp, StripeCommand
from billing.stripe import balance, gateway
from billing.stripe.amounts import to_micro
from billing.stripe.gateway import Payment, StripeUnavailable
from billing.topups.recharge_pauses import pause
from billing.wallet.wallets import credit
from core.errors import Conflict, DomainError
from core.states import transition

Status = CardTopUp.Status
# Codes of `ChargeCommand` that are the customer's own doing, or an operator's: nothing to tell them.
QUIET = {"organization_suspended", "recharge_off", "recharge_over", "recharge_over_cap", "recharge_paused"}


class PaymentMismatch(Conflict):
    """The payment at Stripe is not the one that was asked for."""

    code = "payment_mismatch"


def apply(payment: Payment) -> CardTopUp:
    """Bring the recharge to where its payment is. Any number of times, in any order, by any number of processes.

    The payment must be fresh from Stripe. Raises CardTopUp.DoesNotExist when it is not of ours, and PaymentMismatch.
    """
    with transaction.atomic():
        row = locked(CardTopUp.objects.values_list("pk", flat=True).get(public_id=payment.reference))
        check(row, payment)
        settle(row, payment)
    if payment.balance:
        balance.record([payment.balance])
    return row


def refresh(top_up: CardTopUp) -> CardTopUp:
    """Ask Stripe how it stands and act on that. Outside a transaction. Raises StripeUnavailable, PaymentMismatch."""
    if top_up.payment_intent_id and top_up.status == Status.PROCESSING:
        return apply(gateway.retrieve_payment(top_up.payment_intent_id))
    return top_up


def locked(pk: int) -> CardTopUp:
    """The row, ours until the transaction ends."""
    rows = CardTopUp.objects.select_for_update(of=("self",)).select_related("organization", "customer", "command")
    return rows.get(pk=pk)


def check(row: CardTopUp, payment: Payment) -> None:
    """Nothing is credited on the word of a payment that somebody else made, or for another sum.

    Raises PaymentMismatch, and Conflict `currency_differs`.
    """
    same = (
        row.origin == CardTopUp.Origin.AUTO
        and payment.command == row.command.idempotency_key
        and payment.currency == row.currency
        and to_micro(payment.amount_minor, payment.currency) == row.amount_micro
        and row.payment_intent_id in (None, payment.id)
        and row.customer.stripe_id == payment.customer_id
    )
    if not same:
        raise PaymentMismatch(card_top_up=str(row.public_id), payment=payment.id)
    balance.insist_currency([payment.balance] if payment.balance else [], row.currency)


def settle(row: CardTopUp, payment: Payment) -> None:
    """Act on what Stripe said, in the caller's transaction, which holds the row."""
    was_known = row.payment_intent_id is not None
    if not was_known:
        row.payment_intent_id = payment.id
        row.save(update_fields=["payment_intent_id"])
    if payment.status == "succeeded":
        credit(row, payment.id)
    elif payment.status == "processing":
        # A payment that a bank has refused is over: only money can follow, never a wait. One that we gave up may go on.
        if row.status == Status.CREATED or (row.status == Status.FAILED and not was_known):
            transition(row, Status.PROCESSING, ended_at=None)
    elif row.status in (Status.CREATED, Status.PROCESSING):
        # A bank that asks a person who is not there has refused.
        asks = payment.status == "requires_action"
        code = "authentication_required" if asks else payment.decline_code or "card_declined"
        transition(row, Status.FAILED, code=code, declined_code=code, ended_at=timezone.now())
        pause(organization=row.organization, code=code, subject=f"top_up:{row.public_id}")


def give_up(command: StripeCommand, error: DomainError) -> None:
    """Nothing came of it, or we cannot know. Inside the transaction that ends the command.

    While Stripe was away nothing was done, and a later round tries anew; whatever else it was, somebody must look first.
    """
    row = locked(command.subject_id)
    if row.status != Status.CREATED:
        return
    transition(row, Status.FAILED, code=error.code, ended_at=timezone.now())
    code = "stripe_unknown_outcome" if command.outcome_unknown else error.code
    if command.outcome_unknown or not (isinstance(error, StripeUnavailable) or code in QUIET):
        pause(organization=row.organization, code=code, subject=f"top_up:{row.public_id}")
