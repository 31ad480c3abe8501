"""Checkout sessions: a page of Stripe's on which a customer pays once or saves a card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from billing.stripe.gateway.balance import BalanceMovement
from billing.stripe.gateway.client import read, write
from billing.stripe.gateway.payment_intents import balance_of, decline_code
from billing.stripe.gateway.payment_methods import Card, card_of
from billing.stripe.gateway.rows import first, id_of, metadata_of

if TYPE_CHECKING:
    from stripe.checkout import Session

EXPAND = [
    "payment_intent.latest_charge.balance_transaction",
    "payment_intent.payment_method",
    "setup_intent.payment_method",
]


@dataclass(frozen=True, kw_only=True)
class CheckoutSession:
    """The present state of a session.

    Amounts are in the currency's smallest coin; `balance` is None until Stripe booked it. `card` is the card that
    Stripe keeps for later payments, from a payment that asked for that or from a page that only saves a card; None
    until Stripe keeps it.
    """

    id: str
    url: str
    status: str  # open, complete, expired
    payment_status: str  # paid, unpaid, no_payment_required
    amount_minor: int
    currency: str
    customer_id: str
    reference: str
    command: str
    livemode: bool
    payment_intent_id: str
    payment_status_of_intent: str
    setup_status: str  # of the setup intent of a page that saves a card: succeeded, processing, ...
    decline_code: str
    balance: BalanceMovement | None
    card: Card | None


def create_checkout_session(params: dict[str, Any], *, idempotency_key: str) -> CheckoutSession:
    """Create a session and return it. Raises as `write`."""
    options: Any = {"idempotency_key": idempotency_key}
    return _session(write(lambda stripe: stripe.v1.checkout.sessions.create(params, options)))  # type: ignore[arg-type]


def retrieve_checkout_session(session_id: str) -> CheckoutSession:
    """Return the session with its payment, charge, balance transaction and card. Raises as `read`."""
    return _session(read(lambda stripe: stripe.v1.checkout.sessions.retrieve(session_id, {"expand": EXPAND})))


def find_checkout_session(*, customer_id: str, command: str, since_unix: int) -> CheckoutSession | None:
    """Return the session that a command opened for this customer, or None. Raises as `read`."""
    wanted: Any = {"customer": customer_id, "created": {"gte": since_unix}, "limit": 100}

    return first(
        lambda stripe: stripe.v1.checkout.sessions.list(wanted).auto_paging_iter(),
        _session,
        lambda session: session.command == command,
    )


def find_session_of_payment(payment_intent_id: str) -> str:
    """Return the id of the session that a payment was made on, or "". Raises as `read`."""
    wanted: Any = {"payment_intent": payment_intent_id, "limit": 1}
    found = read(lambda stripe: stripe.v1.checkout.sessions.list(wanted))
    return found.data[0].id if found.data else ""


def payment_of_charge(charge_id: str) -> str:
    """Return the id of the payment that a charge belongs to, or "". Raises as `read`."""
    return id_of(read(lambda stripe: stripe.v1.charges.retrieve(charge_id)).payment_intent)


def _session(row: Session) -> CheckoutSession:
    intent = row.payment_intent if not isinstance(row.payment_intent, str) else None
    setup = row.setup_intent if not isinstance(row.setup_intent, str) else None
    metadata = metadata_of(row)
    return CheckoutSession(
        id=row.id,
        url=row.url or "",
        status=row.status or "",
        payment_status=row.payment_status,
        amount_minor=row.amount_total or 0,
        currency=(row.currency or "").upper(),
        customer_id=id_of(row.customer),
        reference=row.client_reference_id or "",
        command=metadata.get("command", ""),
        livemode=row.livemode,
        payment_intent_id=id_of(row.payment_intent),
        payment_status_of_intent=intent.status if intent else "",
        setup_status=setup.status if setup else "",
        decline_code=decline_code(intent),
        balance=balance_of(intent),
        card=_saved_card(intent, setup),
    )


def _saved_card(payment: Any, setup: Any) -> Card | None:
    """Return the card that Stripe keeps, or None.

    A payment without `setup_future_usage` shows a card that is not kept.
    """
    if payment is not None and not payment.setup_future_usage:
        return None
    method = getattr(payment or setup, "payment_method", None)
    return card_of(method) if method is not None and not isinstance(method, str) else None
