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

__all__ = [
    "BalanceMovement",
    "CardDeclined",
    "CheckoutSession",
    "Event",
    "StripeMisconfigured",
    "StripeMissing",
    "StripeRefused",
    "StripeUnavailable",
    "StripeUnknownOutcome",
    "WebhookInvalid",
    "create_checkout_session",
    "create_customer",
    "find_checkout_session",
    "find_customer",
    "find_session_of_payment",
    "list_balance",
    "list_events",
    "payment_of_charge",
    "retrieve_checkout_session",
    "verify",
]
