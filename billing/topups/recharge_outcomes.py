"""The outcome of charging a saved card: money in the wallet, a payment that is still processed, or a failure."""

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
# Codes of `ChargeCommand` that follow from what the customer or an operator did: no pause and no mail.
QUIET_CODES = {"organization_suspended", "recharge_off", "recharge_over", "recharge_over_cap", "recharge_paused"}


class PaymentMismatch(Conflict):
    """The payment at Stripe is not the one that was asked for."""

    code = "payment_mismatch"


def apply(payment: Payment) -> CardTopUp:
    """Move the recharge to the state of its payment, which must be fresh from Stripe. Return the recharge.

    May be called any number of times, in any order and concurrently. Raises CardTopUp.DoesNotExist when the payment is
    not ours, PaymentMismatch, and Conflict `currency_differs`.
    """
    with transaction.atomic():
        row = lock_recharge(CardTopUp.objects.values_list("pk", flat=True).get(public_id=payment.reference))
        check(row, payment)
        settle(row, payment)
    if payment.balance:
        balance.record([payment.balance])
    return row


def refresh(top_up: CardTopUp) -> CardTopUp:
    """Fetch the payment of a recharge that the bank still processes, and apply it. Call it outside a transaction.

    Raises StripeUnavailable, PaymentMismatch.
    """
    if top_up.payment_intent_id and top_up.status == Status.PROCESSING:
        return apply(gateway.retrieve_payment(top_up.payment_intent_id))
    return top_up


def lock_recharge(pk: int) -> CardTopUp:
    """Lock a recharge's row until the end of the transaction and return it."""
    rows = CardTopUp.objects.select_for_update(of=("self",)).select_related("organization", "customer", "command")
    return rows.get(pk=pk)


def check(row: CardTopUp, payment: Payment) -> None:
    """Refuse a payment that is not the one we asked for: another command, amount, currency or customer.

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
    balance.require_currency([payment.balance] if payment.balance else [], row.currency)


def settle(row: CardTopUp, payment: Payment) -> None:
    """Move the recharge to the state that the payment reports.

    Runs in the caller's transaction, which has locked the row.
    """
    was_known = row.payment_intent_id is not None
    if not was_known:
        row.payment_intent_id = payment.id
        row.save(update_fields=["payment_intent_id"])
    if payment.status == "succeeded":
        credit(row, payment.id)
    elif payment.status == "processing":
        # A payment that a bank refused is final: it can still succeed, but not go back to waiting. A payment that we
        # gave up before we knew its id may still be processing.
        if row.status == Status.CREATED or (row.status == Status.FAILED and not was_known):
            transition(row, Status.PROCESSING, ended_at=None)
    elif row.status in (Status.CREATED, Status.PROCESSING):
        # A bank that wants the customer to confirm has refused: the customer is not there.
        needs_customer = payment.status == "requires_action"
        code = "authentication_required" if needs_customer else payment.decline_code or "card_declined"
        transition(row, Status.FAILED, code=code, declined_code=code, ended_at=timezone.now())
        pause(organization=row.organization, code=code, subject=f"top_up:{row.public_id}")


def give_up(command: StripeCommand, error: DomainError) -> None:
    """Fail a recharge whose command was given up. Runs in the transaction that ends the command.

    If Stripe was only unavailable, nothing was done and a later round makes a new recharge. For any other reason,
    except those in QUIET_CODES, the customer's recharge is paused until a person has looked.
    """
    row = lock_recharge(command.subject_id)
    if row.status != Status.CREATED:
        return
    transition(row, Status.FAILED, code=error.code, ended_at=timezone.now())
    code = "stripe_unknown_outcome" if command.outcome_unknown else error.code
    if command.outcome_unknown or not (isinstance(error, StripeUnavailable) or code in QUIET_CODES):
        pause(organization=row.organization, code=code, subject=f"top_up:{row.public_id}")
