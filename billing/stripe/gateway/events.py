"""Stripe's events, delivered by webhook or read from Stripe's list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from billing.stripe.gateway.client import read
from billing.stripe.gateway.errors import WebhookInvalid

TOLERANCE_S = 300  # how old a webhook's signature may be
THIN = "v2.core.event"  # the `object` of events of API v2, which only name what changed


@dataclass(frozen=True, kw_only=True)
class Event:
    """The envelope of an event. `object_id` names the object that the event is about; its state must be fetched."""

    id: str
    type: str
    is_thin: bool
    object_id: str
    account_id: str  # the connected account on which it happened; empty for our own
    api_version: str
    livemode: bool
    occurred_at: datetime
    payload_sha256: str


def verify(body: bytes, signature: str) -> Event:
    """Return the event in the body of a webhook that Stripe signed with one of our secrets, less than five minutes ago.

    Raises WebhookInvalid for anything else. There may be several secrets (two endpoints, or a secret that is being
    replaced); one of them must fit.
    """
    from stripe import SignatureVerificationError, WebhookSignature

    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            WebhookSignature.verify_header(body, signature, secret, TOLERANCE_S)
            return _envelope(json.loads(body), hashlib.sha256(body).hexdigest())
        except SignatureVerificationError:
            continue
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # signed but not an event, or not text
            raise WebhookInvalid("This is not an event.") from error
    raise WebhookInvalid


def list_events(*, since_unix: int, until_unix: int) -> list[Event]:
    """Return every snapshot event in [since, until), Unix times in seconds, oldest first. Raises as `read`.

    Stripe lists the events of the last 30 days.
    """
    wanted: Any = {"created": {"gte": since_unix, "lt": until_unix}, "limit": 100}

    def look(stripe: Any) -> Iterator[Event]:
        for row in stripe.v1.events.list(wanted).auto_paging_iter():
            text = json.dumps(row.to_dict(), sort_keys=True, default=str)
            yield _envelope(row.to_dict(), hashlib.sha256(text.encode()).hexdigest())

    return read(lambda stripe: list(look(stripe)))[::-1]


def _envelope(payload: dict[str, Any], digest: str) -> Event:
    """Convert an event's payload to our record.

    Snapshot events contain their object under `data`; thin events name it under `related_object`. Raises ValueError,
    KeyError, TypeError or AttributeError for anything else.
    """
    is_thin = payload["object"] == THIN
    if not is_thin and payload["object"] != "event":
        raise ValueError(f"{payload['object']} is no event")
    about = (payload.get("related_object") or {}) if is_thin else payload["data"]["object"]
    created = payload["created"]
    occurred_at = datetime.fromisoformat(created) if is_thin else datetime.fromtimestamp(created, tz=UTC)
    return Event(
        id=_text(payload["id"]),
        type=_text(payload["type"]),
        is_thin=is_thin,
        object_id=str(about.get("id") or ""),  # a balance has none
        account_id=str(payload.get("context" if is_thin else "account") or ""),
        api_version=str(payload.get("api_version") or ""),
        livemode=bool(payload["livemode"]),
        occurred_at=occurred_at,
        payload_sha256=digest,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise ValueError("an event has an id and a type")
    return value
