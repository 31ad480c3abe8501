"""Deliveries of events, signed as Stripe signs, and as unreliable as you like."""

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
    """How deliveries go wrong. Delays also change their order; a lost one is never tried."""

    copies: int = 1
    delay_max_s: float = 0.0
    lost_permille: int = 0
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - nothing secret

    def schedule(self, now: float) -> list[float]:
        """When each copy of an event is sent."""
        if self.random.randrange(1000) < self.lost_permille:
            return []
        return [now + self.random.uniform(0, self.delay_max_s) for _ in range(self.copies)]


@dataclass(frozen=True)
class Delivery:
    seq: int
    body: bytes
    attempts: int


class Deliveries:
    """What is still to be sent to the webhook endpoint, kept with the objects."""

    def __init__(self, store: Store) -> None:
        self.sql = store.sql
        self.store = store
        self.chaos = Chaos()

    def add(self, event: dict[str, Any], now: float) -> None:
        due = [(event["id"], moment) for moment in self.chaos.schedule(now)]
        self.sql.executemany("INSERT INTO delivery (event, due) VALUES (?, ?)", due)

    def due(self, now: float, limit: int = 20) -> list[Delivery]:
        rows = self.sql.execute(
            "SELECT d.seq, o.body, d.attempts FROM delivery d JOIN object o ON o.id = d.event"
            " WHERE NOT d.done AND d.due <= ? ORDER BY d.due, d.seq LIMIT ?",
            (now, limit),
        )
        return [Delivery(seq, body_of(json.loads(body)), attempts) for seq, body, attempts in rows]

    def ended(self, delivery: Delivery, *, ok: bool, now: float) -> None:
        """Sent; or to be tried again, later each time, until we give up."""
        attempts = delivery.attempts + 1
        self.sql.execute(
            "UPDATE delivery SET done = ?, attempts = ?, due = ? WHERE seq = ?",
            (ok or attempts >= RETRIES, attempts, now + 2.0**attempts, delivery.seq),
        )


def signature(body: bytes, secret: str, *, at: int) -> str:
    """The value of the header Stripe-Signature."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


def body_of(event: dict[str, Any]) -> bytes:
    """An event as the webhook carries it."""
    return json.dumps(public(event)).encode()
