"""Objects of the API for saved cards: payment methods and setup intents."""

import hashlib
from typing import Any

from marketplace.local.fake_stripe.objects import Object

BANK_DEBIT = "000123456789"
BRANDS = {"4": "visa", "5": "mastercard", "3": "amex", "6": "discover"}
EXPIRES_IN_YEARS = 3


def payment_method(object_id: str, now: int, *, number: str, year: int) -> Object:
    """Return a payment method for a number typed on a page, not yet attached to a customer.

    Only the fake knows the number (`_number`): `objects.public` removes it from every response.
    """
    details: dict[str, Any] = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    kind = "us_bank_account" if number == BANK_DEBIT else "card"
    return {
        "id": object_id,
        "object": "payment_method",
        "created": now,
        "livemode": False,
        "type": kind,
        "allow_redisplay": "limited",
        "billing_details": details,
        "customer": None,
        "customer_account": None,
        "metadata": {},
        kind: _bank(number) if kind != "card" else _card(number, year),
        "_number": number,
    }


def setup_intent(object_id: str, now: int, *, of: Object) -> Object:
    """Return the setup intent of a session in setup mode, before the first attempt."""
    return {
        "id": object_id,
        "object": "setup_intent",
        "created": now,
        "livemode": False,
        "application": None,
        "cancellation_reason": None,
        "client_secret": f"{object_id}_secret_fake",
        "customer": of["customer"],
        "description": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "mandate": None,
        "metadata": of["_intent_metadata"],
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
    }


def fingerprint(number: str) -> str:
    """Return Stripe's fingerprint of a card or bank account: the same for equal numbers, for all customers."""
    return hashlib.sha256(number.encode()).hexdigest()[:16]


def _card(number: str, year: int) -> Object:
    return {
        "brand": BRANDS.get(number[:1], "unknown"),
        "country": "US",
        "exp_month": 12,
        "exp_year": year + EXPIRES_IN_YEARS,
        "fingerprint": fingerprint(number),
        "funding": "credit",
        "last4": number[-4:],
        "generated_from": None,
        "wallet": None,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "networks": {"available": [BRANDS.get(number[:1], "unknown")], "preferred": None},
        "three_d_secure_usage": {"supported": True},
    }


def _bank(number: str) -> Object:
    return {
        "account_holder_type": "company",
        "account_type": "checking",
        "bank_name": "TEST BANK",
        "financial_connections_account": None,
        "fingerprint": fingerprint(number),
        "last4": number[-4:],
        "networks": None,
        "routing_number": "110000000",
        "status_details": None,
    }
