"""Objects of the API: every field that Stripe's specification requires, and the fields that our gateway reads."""

from typing import Any

Object = dict[str, Any]
API_VERSION = "2026-10-28.endive"


def customer(object_id: str, now: int, *, name: str, email: str | None, metadata: dict[str, str]) -> Object:
    """Return a customer."""
    return {
        "id": object_id,
        "object": "customer",
        "created": now,
        "livemode": False,
        "name": name or None,
        "email": email,
        "metadata": metadata,
        "balance": 0,
        "delinquent": False,
        "description": None,
        "default_source": None,
        "invoice_prefix": object_id[-8:].upper(),
        "shipping": None,
        "address": None,
        "phone": None,
    }


def session(
    object_id: str,
    now: int,
    *,
    url: str,
    amount: int | None,
    currency: str,
    customer_id: str | None,
    reference: str | None,
    metadata: dict[str, str],
    intent_metadata: dict[str, str],
    name: str,
    success_url: str,
    cancel_url: str | None,
    future_usage: str | None = None,
) -> Object:
    """Return a Checkout session that takes a payment of `amount` (minor units).

    Names that begin with `_` are the fake's own; `public` removes them from every response.
    """
    return {
        "id": object_id,
        "object": "checkout.session",
        "created": now,
        "expires_at": now + 86_400,
        "livemode": False,
        "mode": "payment",
        "ui_mode": "hosted_page",
        "status": "open",
        "payment_status": "unpaid",
        "url": url,
        "amount_subtotal": amount,
        "amount_total": amount,
        "currency": currency,
        "customer": customer_id,
        "customer_email": None,
        "customer_details": None,
        "client_reference_id": reference,
        "metadata": metadata,
        "payment_intent": None,
        "setup_intent": None,
        "payment_method_types": ["card"],
        "payment_method_collection": "if_required",
        "success_url": success_url,
        "cancel_url": cancel_url,
        "shipping_options": [],
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "_intent_metadata": intent_metadata,
        "_name": name,
        "_future_usage": future_usage,
    }


def payment_intent(object_id: str, now: int, *, of: Object) -> Object:
    """Return the payment of a session, before the first attempt."""
    return {
        "id": object_id,
        "object": "payment_intent",
        "created": now,
        "livemode": False,
        "amount": of["amount_total"],
        "amount_received": 0,
        "amount_capturable": 0,
        "currency": of["currency"],
        "customer": of["customer"],
        "status": "requires_payment_method",
        "metadata": of["_intent_metadata"],
        "latest_charge": None,
        "last_payment_error": None,
        "payment_method": None,
        "payment_method_types": ["card"],
        "next_action": None,
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
        "canceled_at": None,
        "cancellation_reason": None,
        "client_secret": f"{object_id}_secret_fake",
        "description": None,
        "setup_future_usage": of["_future_usage"],
        "_session": of["id"],
    }


def charge(object_id: str, now: int, *, of: Object, paid: bool, declined: str = "") -> Object:
    """Return the charge of a payment intent: paid, or declined with this message."""
    details: dict[str, Any] = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    return {
        "id": object_id,
        "object": "charge",
        "created": now,
        "livemode": False,
        "amount": of["amount"],
        "amount_captured": of["amount"] if paid else 0,
        "amount_refunded": 0,
        "currency": of["currency"],
        "customer": of["customer"],
        "billing_details": details,
        "captured": paid,
        "disputed": False,
        "paid": paid,
        "refunded": False,
        "status": "succeeded" if paid else "failed",
        "metadata": of["metadata"],
        "payment_intent": of["id"],
        "payment_method": of["payment_method"],
        "balance_transaction": None,
        "failure_code": "card_declined" if declined else None,
        "failure_message": declined or None,
        "description": None,
        "receipt_url": None,
    }


def balance_transaction(object_id: str, now: int, *, of: Object, fee: int) -> Object:
    """Return the balance transaction of a paid charge. The money becomes available after two days."""
    return {
        "id": object_id,
        "object": "balance_transaction",
        "created": now,
        "available_on": now + 2 * 86_400,
        "amount": of["amount"],
        "fee": fee,
        "net": of["amount"] - fee,
        "currency": of["currency"],
        "balance_type": "payments",
        "description": None,
        "exchange_rate": None,
        "reporting_category": "charge",
        "status": "pending",
        "type": "charge",
        "source": of["id"],
        "fee_details": [
            {
                "amount": fee,
                "application": None,
                "currency": of["currency"],
                "description": "Stripe processing fees",
                "type": "stripe_fee",
            }
        ],
    }


def event(object_id: str, now: int, *, kind: str, about: Object, request_id: str | None, key: str | None) -> Object:
    """Return an event of API v1, which includes the object as it is now."""
    return {
        "id": object_id,
        "object": "event",
        "api_version": API_VERSION,
        "created": now,
        "livemode": False,
        "type": kind,
        "data": {"object": public(about)},
        "pending_webhooks": 1,
        "request": {"id": request_id, "idempotency_key": key},
    }


def public(item: Any) -> Any:
    """Return a copy without the fake's own fields, whose names begin with `_`."""
    if isinstance(item, list):
        return [public(part) for part in item]
    if isinstance(item, dict):
        return {name: public(value) for name, value in item.items() if not name.startswith("_")}
    return item
