"""The payment method of a payment, named as on the customer's own card."""

from __future__ import annotations

from typing import Any

from billing.stripe.gateway.client import read


def source_of_payment(payment_intent_id: str) -> str:
    """Return the brand and last digits (`Visa 4242`) of what a payment was made with, or "" if unknown.

    Raises as `read`.
    """
    wanted: Any = {"payment_intent": payment_intent_id, "limit": 10}
    charges = read(lambda stripe: stripe.v1.charges.list(wanted)).data
    paid = next((charge for charge in charges if charge.paid), None)
    details: Any = getattr(paid, "payment_method_details", None)
    if details is None:
        return ""
    source = getattr(details, details.type, None)
    name = getattr(source, "brand", None) or getattr(source, "bank_name", None) or details.type.replace("_", " ")
    return f"{name.title() if name.islower() else name} {getattr(source, 'last4', None) or ''}".strip()
