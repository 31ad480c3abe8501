"""The only door to Stripe: nothing else imports its SDK. Narrow functions in, our own records out."""

from billing.gateway.balance import BalanceMovement, list_balance
from billing.gateway.checkout import (
    CheckoutSession,
    create_checkout_session,
    find_checkout_session,
    find_session_of_payment,
    payment_of_charge,
    retrieve_checkout_session,
)
from billing.gateway.customers import create_customer, find_customer
from billing.gateway.errors import (
    CardDeclined,
    StripeMisconfigured,
    StripeMissing,
    StripeRefused,
    StripeUnavailable,
    StripeUnknownOutcome,
    WebhookInvalid,
)
from billing.gateway.events import Event, list_events, verify
from billing.gateway.payment_intents import Payment, charge_card, find_payment, retrieve_payment
from billing.gateway.payment_methods import Card, detach_card, list_cards, retrieve_card

__all__ = [
    "BalanceMovement",
    "Card",
    "CardDeclined",
    "CheckoutSession",
    "Event",
    "Payment",
    "StripeMisconfigured",
    "StripeMissing",
    "StripeRefused",
    "StripeUnavailable",
    "StripeUnknownOutcome",
    "WebhookInvalid",
    "charge_card",
    "create_checkout_session",
    "create_customer",
    "detach_card",
    "find_checkout_session",
    "find_customer",
    "find_payment",
    "find_session_of_payment",
    "list_balance",
    "list_cards",
    "list_events",
    "payment_of_charge",
    "retrieve_card",
    "retrieve_checkout_session",
    "retrieve_payment",
    "verify",
]
