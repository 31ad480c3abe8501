"""Deliver events to a webhook, signed as Stripe signs them. `Chaos` makes the delivery unreliable on purpose."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from marketplace.local.fake_stripe.objects import public
from marketplace.local.fake_stripe.store import Store

RETRIES = 12


@dataclass
class Chaos:
    """How deliveries go wrong. Different delays change the order of events; a lost delivery is never retried."""

    copies: int = 1
    delay_max_s: float = 0.0
    lost_permille: int = 0
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - not used for secrets

    def schedule(self, now: float) -> list[float]:
        """Return the times (Unix seconds) at which the copies of an event are sent; none if it is lost."""
        if self.random.randrange(1000) < self.lost_permille:
            return []
        return [now + self.random.uniform(0, self.delay_max_s) for _ in range(self.copies)]


@dataclass(frozen=True)
class Delivery:
    """An event to send: its body, and how often it was tried."""

    seq: int
    body: bytes
    attempts: int


class Deliveries:
    """The queue of events for the webhook, stored in the same database as the objects."""

    def __init__(self, store: Store) -> None:
        self.sql = store.sql
        self.store = store
        self.chaos = Chaos()

    def add(self, event: dict[str, Any], now: float) -> None:
        """Queue the copies of an event."""
        due = [(event["id"], moment) for moment in self.chaos.schedule(now)]
        self.sql.executemany("INSERT INTO delivery (event, due) VALUES (?, ?)", due)

    def due(self, now: float, limit: int = 20) -> list[Delivery]:
        """Return deliveries that are due, oldest first."""
        rows = self.sql.execute(
            "SELECT d.seq, o.body, d.attempts FROM delivery d JOIN object o ON o.id = d.event"
            " WHERE NOT d.done AND d.due <= ? ORDER BY d.due, d.seq LIMIT ?",
            (now, limit),
        )
        return [Delivery(seq, body_of(json.loads(body)), attempts) for seq, body, attempts in rows]

    def ended(self, delivery: Delivery, *, ok: bool, now: float) -> None:
        """Record an attempt. A failed delivery is retried with growing delays, RETRIES times at most."""
        attempts = delivery.attempts + 1
        self.sql.execute(
            "UPDATE delivery SET done = ?, attempts = ?, due = ? WHERE seq = ?",
            (ok or attempts >= RETRIES, attempts, now + 2.0**attempts, delivery.seq),
        )


def signature(body: bytes, secret: str, *, at: int) -> str:
    """Return the value of the header Stripe-Signature."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


def body_of(event: dict[str, Any]) -> bytes:
    """Return an event as the body of a webhook."""
    return json.dumps(public(event)).encode()
