"""The gateway to Stripe: the only package that imports its SDK.

Its functions return records of our own, never SDK objects.
"""

from billing.stripe.gateway.accounts import (
    PayeeAccount,
    Requirement,
    account_link,
    create_account,
    find_account,
    login_link,
    retrieve_account,
)
from billing.stripe.gateway.balance import BalanceMovement, list_balance
from billing.stripe.gateway.bank_payouts import BankPayout, list_bank_payouts, retrieve_bank_payout
from billing.stripe.gateway.charges import source_of_payment
from billing.stripe.gateway.checkout import (
    CheckoutSession,
    create_checkout_session,
    find_checkout_session,
    find_session_of_payment,
    payment_of_charge,
    retrieve_checkout_session,
)
from billing.stripe.gateway.customers import create_customer, find_customer
from billing.stripe.gateway.disputes import BankDispute, retrieve_dispute, submit_evidence
from billing.stripe.gateway.errors import (
    CardDeclined,
    StripeMisconfigured,
    StripeMissing,
    StripeRefused,
    StripeUnavailable,
    StripeUnknownOutcome,
    WebhookInvalid,
)
from billing.stripe.gateway.events import Event, list_events, verify
from billing.stripe.gateway.payment_intents import Payment, charge_card, find_payment, retrieve_payment
from billing.stripe.gateway.payment_methods import Card, detach_card, list_cards, retrieve_card
from billing.stripe.gateway.refunds import CardRefund, create_refund, find_refund, retrieve_refund
from billing.stripe.gateway.transfers import (
    Transfer,
    available_minor,
    create_transfer,
    find_reversal,
    find_transfer,
    retrieve_transfer,
    reverse_transfer,
)

__all__ = [
    "BalanceMovement",
    "BankDispute",
    "BankPayout",
    "Card",
    "CardDeclined",
    "CardRefund",
    "CheckoutSession",
    "Event",
    "PayeeAccount",
    "Payment",
    "Requirement",
    "StripeMisconfigured",
    "StripeMissing",
    "StripeRefused",
    "StripeUnavailable",
    "StripeUnknownOutcome",
    "Transfer",
    "WebhookInvalid",
    "account_link",
    "available_minor",
    "charge_card",
    "create_account",
    "create_checkout_session",
    "create_customer",
    "create_refund",
    "create_transfer",
    "detach_card",
    "find_account",
    "find_checkout_session",
    "find_customer",
    "find_payment",
    "find_refund",
    "find_reversal",
    "find_session_of_payment",
    "find_transfer",
    "list_balance",
    "list_bank_payouts",
    "list_cards",
    "list_events",
    "login_link",
    "payment_of_charge",
    "retrieve_account",
    "retrieve_bank_payout",
    "retrieve_card",
    "retrieve_checkout_session",
    "retrieve_dispute",
    "retrieve_payment",
    "retrieve_refund",
    "retrieve_transfer",
    "reverse_transfer",
    "source_of_payment",
    "submit_evidence",
    "verify",
]
