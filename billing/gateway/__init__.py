"""The only door to Stripe: nothing else imports its SDK. Narrow functions in, our own records out."""

from billing.gateway.balance import BalanceMovement, list_balance
from billing.gateway.charges import source_of_payment
from billing.gateway.checkout import (
    CheckoutSession,
    create_checkout_session,
    find_checkout_session,
    find_session_of_payment,
    payment_of_charge,
    retrieve_checkout_session,
)
from billing.gateway.customers import create_customer, find_customer
from billing.gateway.disputes import BankDispute, retrieve_dispute, submit_evidence
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
from billing.gateway.refunds import CardRefund, create_refund, find_refund, retrieve_refund

__all__ = [
    "BalanceMovement",
    "BankDispute",
    "CardDeclined",
    "CardRefund",
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
    "create_refund",
    "find_checkout_session",
    "find_customer",
    "find_refund",
    "find_session_of_payment",
    "list_balance",
    "list_events",
    "payment_of_charge",
    "retrieve_checkout_session",
    "retrieve_dispute",
    "retrieve_refund",
    "source_of_payment",
    "submit_evidence",
    "verify",
]
