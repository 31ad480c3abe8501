"""Objects of the API for refunds and disputes, their balance transactions, and the details of a payment's card."""

from typing import Any

from marketplace.local.fake_stripe.objects import Object

DAY_S = 86_400


def refund(
    object_id: str, now: int, *, of: Object, amount: int, metadata: dict[str, str], reason: str | None
) -> Object:
    """Return a pending refund of `amount` (minor units) of a charge."""
    return {
        "id": object_id,
        "object": "refund",
        "created": now,
        "amount": amount,
        "currency": of["currency"],
        "charge": of["id"],
        "payment_intent": of["payment_intent"],
        "metadata": metadata,
        "reason": reason,
        "status": "pending",
        "balance_transaction": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "transfer_reversal": None,
    }


def dispute(object_id: str, now: int, *, of: Object, status: str, reason: str) -> Object:
    """Return a dispute of a whole charge. Its evidence is due after nine days."""
    return {
        "id": object_id,
        "object": "dispute",
        "created": now,
        "livemode": False,
        "amount": of["amount"],
        "currency": of["currency"],
        "charge": of["id"],
        "payment_intent": of["payment_intent"],
        "reason": reason,
        "status": status,
        "balance_transactions": [],
        "enhanced_eligibility_types": [],
        "metadata": {},
        "is_charge_refundable": status.startswith("warning"),
        "evidence": {"enhanced_evidence": {}, "uncategorized_text": None},
        "evidence_details": {
            "due_by": now + 9 * DAY_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
    }


def movement(
    object_id: str, now: int, *, kind: str, category: str, amount: int, fee: int, currency: str, source: str
) -> Object:
    """Return a balance transaction of any kind. `amount` (minor units) is signed."""
    details = {"application": None, "currency": currency, "description": "Dispute fee", "type": "stripe_fee"}
    return {
        "id": object_id,
        "object": "balance_transaction",
        "created": now,
        "available_on": now,
        "amount": amount,
        "fee": fee,
        "net": amount - fee,
        "currency": currency,
        "balance_type": "payments",
        "description": None,
        "exchange_rate": None,
        "reporting_category": category,
        "status": "available",
        "type": kind,
        "source": source,
        "fee_details": [{"amount": fee, **details}] if fee else [],
    }


def details(number: str) -> dict[str, Any]:
    """Return `payment_method_details` of a charge: the card or the bank account that paid it."""
    if len(number) < 16:
        bank = {
            "account_holder_type": "company",
            "account_type": "checking",
            "bank_name": "Test Bank",
            "fingerprint": None,
            "last4": number[-4:],
            "payment_reference": None,
            "routing_number": "110000000",
        }
        return {"type": "us_bank_account", "us_bank_account": bank}
    brand = {"5": "mastercard", "3": "amex"}.get(number[0], "visa")
    card = {
        "brand": brand,
        "last4": number[-4:],
        "exp_month": 12,
        "exp_year": 2034,
        "country": "US",
        "funding": "credit",
        "network": brand,
    }
    return {"type": "card", "card": card}
