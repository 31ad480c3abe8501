"""Payments (payment intents), made on a Checkout page or by charging a saved card without the customer present."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from billing.stripe.gateway.balance import BalanceMovement, movement
from billing.stripe.gateway.client import read, write
from billing.stripe.gateway.rows import first, id_of, metadata_of

if TYPE_CHECKING:
    from stripe import PaymentIntent

EXPAND = ["latest_charge.balance_transaction"]


@dataclass(frozen=True, kw_only=True)
class Payment:
    """The present state of a payment.

    Amounts are in the currency's smallest coin; `balance` is None until Stripe booked it.
    """

    id: str
    status: str  # succeeded, processing, requires_payment_method, requires_action, canceled
    amount_minor: int
    currency: str
    customer_id: str
    reference: str  # the public id of our top-up
    command: str
    decline_code: str
    balance: BalanceMovement | None


def charge_card(params: dict[str, Any], *, idempotency_key: str) -> Payment:
    """Charge a saved card and return the payment. Raises as `write`.

    A refusal by the bank is an outcome, not an error: the returned payment has its status and decline code.
    CardDeclined is raised only when Stripe's answer contains no payment.
    """
    options: Any = {"idempotency_key": idempotency_key}

    def attempt(stripe: Any) -> Payment:
        from stripe import CardError

        try:
            return payment_of(stripe.v1.payment_intents.create(params, options))
        except CardError as error:
            refused = error.error.payment_intent if error.error else None
            if refused is None:
                raise
            return payment_of(refused)

    return write(attempt)


def retrieve_payment(payment_id: str) -> Payment:
    """Return the payment with its charge and balance transaction. Raises as `read`."""
    return payment_of(read(lambda stripe: stripe.v1.payment_intents.retrieve(payment_id, {"expand": EXPAND})))


def find_payment(*, customer_id: str, command: str, since_unix: int) -> Payment | None:
    """Return the payment that a command made of this customer, or None. Raises as `read`.

    Reads the list, which shows a payment at once. Stripe's search lags behind, and a missed payment would be charged
    twice.
    """
    wanted: Any = {"customer": customer_id, "created": {"gte": since_unix}, "limit": 100}

    return first(
        lambda stripe: stripe.v1.payment_intents.list(wanted).auto_paging_iter(),
        payment_of,
        lambda payment: payment.command == command,
    )


def payment_of(row: PaymentIntent) -> Payment:
    """Convert Stripe's payment intent to our record."""
    metadata = metadata_of(row)
    return Payment(
        id=row.id,
        status=row.status,
        amount_minor=row.amount,
        currency=row.currency.upper(),
        customer_id=id_of(row.customer),
        reference=metadata.get("card_top_up", ""),
        command=metadata.get("command", ""),
        decline_code=decline_code(row),
        balance=balance_of(row),
    )


def decline_code(intent: PaymentIntent | None) -> str:
    """Return Stripe's code of why the last attempt was refused, or ""."""
    error = intent.last_payment_error if intent else None
    return str(getattr(error, "decline_code", None) or getattr(error, "code", None) or "")


def balance_of(intent: PaymentIntent | None) -> BalanceMovement | None:
    """Return what Stripe booked for the payment, or None if that was not requested (expanded) or is not booked yet."""
    charge = intent.latest_charge if intent else None
    row = getattr(charge, "balance_transaction", None)
    if row is None or isinstance(row, str) or intent is None:
        return None
    return movement(row, payment_intent_id=intent.id)
