"""Objects of the API about payees: connected accounts, and the transfers, reversals and payouts that pay them."""

from datetime import UTC, datetime
from typing import Any

from marketplace.local.fake_stripe.objects import Object

PROVIDE_INFO, NO_RESOLUTION, CONTACT = "provide_info", "no_resolution", "contact_stripe"
LINK_LASTS_S = 300


def iso(moment: float) -> str:
    """Return a time (Unix seconds) as API v2 writes it: ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(moment, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def account(object_id: str, now: int, *, params: Object) -> Object:
    """Return a new Accounts v2 object.

    It holds only what the platform sent; the person has not entered anything yet.
    """
    defaults = params.get("defaults", {})
    return {
        "id": object_id,
        "object": "v2.core.account",
        "created": iso(now),
        "livemode": False,
        "closed": False,
        "applied_configurations": ["recipient"],
        "contact_email": params.get("contact_email", ""),
        "display_name": params.get("display_name", ""),
        "dashboard": params.get("dashboard", "none"),
        "metadata": params.get("metadata", {}),
        "identity": params["identity"],
        "defaults": {
            "currency": defaults.get("currency", "usd"),
            "locales": [],
            "responsibilities": {**defaults["responsibilities"], "requirements_collector": "stripe"},
        },
        "configuration": {"recipient": {"applied": True, "capabilities": {}}},
        "requirements": {"entries": []},
        "_bank": "",
        "_name": "",
        "_balance": {},
    }


def capability(status: str, code: str = "", resolution: str = "") -> Object:
    """Return the status of a capability. `code` is the reason, `resolution` is what ends it."""
    return {"status": status, "status_details": [{"code": code, "resolution": resolution}] if code else []}


def requirement(name: str, *, waits_for: str = "user", due: str = "currently_due", error: str = "") -> Object:
    """Return an entry of an account's requirements.

    `waits_for` is "user" or "stripe", `due` is its deadline's status.
    """
    restricted = {
        "capability": "stripe_balance.stripe_transfers",
        "configuration": "recipient",
        "deadline": {"status": due},
    }
    return {
        "awaiting_action_from": waits_for,
        "description": name,
        "minimum_deadline": {"status": due},
        "errors": [{"code": error, "description": error.replace("_", " ")}] if error else [],
        "impact": {"restricts_capabilities": [restricted]},
        "requested_reasons": [{"code": "routine_onboarding"}],
    }


def account_link(now: int, *, url: str, params: Object) -> Object:
    """Return a link to a page of Stripe's. It expires after LINK_LASTS_S."""
    return {
        "object": "v2.core.account_link",
        "created": iso(now),
        "expires_at": iso(now + LINK_LASTS_S),
        "livemode": False,
        "account": params["account"],
        "url": url,
        "use_case": params["use_case"],
    }


def thin_event(object_id: str, now: float, *, kind: str, about: Object) -> Object:
    """Return an event of API v2, which names the object that changed without including it."""
    url = f"/v2/core/accounts/{about['id']}"
    return {
        "id": object_id,
        "object": "v2.core.event",
        "type": kind,
        "created": iso(now),
        "livemode": False,
        "related_object": {"id": about["id"], "type": about["object"], "url": url},
    }


def transfer(object_id: str, now: int, *, params: Object, amount: int, payment_id: str) -> Object:
    """Return a transfer of `amount` (minor units) from our balance to an account."""
    return {
        "id": object_id,
        "object": "transfer",
        "created": now,
        "livemode": False,
        "amount": amount,
        "amount_reversed": 0,
        "currency": params["currency"],
        "description": params.get("description"),
        "destination": params["destination"],
        "destination_payment": payment_id,
        "metadata": params.get("metadata", {}),
        "balance_transaction": None,
        "reversed": False,
        "source_transaction": None,
        "source_type": "card",
        "transfer_group": params.get("transfer_group"),
        "reversals": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/transfers/{object_id}/reversals",
        },
    }


def reversal(object_id: str, now: int, *, of: Object, amount: int, metadata: Any) -> Object:
    """Return a reversal of `amount` (minor units) of the transfer `of`."""
    return {
        "id": object_id,
        "object": "transfer_reversal",
        "created": now,
        "amount": amount,
        "currency": of["currency"],
        "balance_transaction": None,
        "destination_payment_refund": None,
        "metadata": metadata,
        "source_refund": None,
        "transfer": of["id"],
    }


def movement(object_id: str, now: int, *, kind: str, category: str, amount: int, of: Object) -> Object:
    """Return the balance transaction of a transfer or a reversal: without a fee, available at once."""
    return {
        "id": object_id,
        "object": "balance_transaction",
        "created": now,
        "available_on": now,
        "amount": amount,
        "fee": 0,
        "net": amount,
        "currency": of["currency"],
        "balance_type": "payments",
        "description": None,
        "exchange_rate": None,
        "reporting_category": category,
        "status": "available",
        "type": kind,
        "source": of["id"],
        "fee_details": [],
    }


def bank_payout(object_id: str, now: int, *, of: Object, amount: int, currency: str) -> Object:
    """Return a payout of an account's balance to its bank, made by Stripe's own schedule."""
    return {
        "id": object_id,
        "object": "payout",
        "created": now,
        "livemode": False,
        "amount": amount,
        "currency": currency,
        "arrival_date": now + 86_400,
        "automatic": True,
        "balance_transaction": None,
        "description": "STRIPE PAYOUT",
        "destination": f"ba_{of['id'][-12:]}",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "reversed_by": None,
        "reconciliation_status": "in_progress",
        "source_type": "card",
        "statement_descriptor": None,
        "status": "pending",
        "type": "bank_account",
        "_account": of["id"],
    }
