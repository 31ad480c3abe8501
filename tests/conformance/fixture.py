"""The fixture `stripe`: a fake Stripe for each test that calls Stripe, behind the two guards that check every call."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from billing.models import CardTopUp, StripeCommand, StripeEvent
from billing.stripe import inbox, outbox
from marketplace.local.fake_stripe import FakeStripe
from marketplace.local.fake_stripe.webhooks import body_of, signature
from tests.conformance import sdk_types, wire
from tests.conformance.transport import GuardedTransport, to_fake

SECRET = "whsec_test"


@dataclass
class FakeWorld:
    """The fake, the transport to it, and methods that do what a clock, a customer or a worker would do."""

    fake: FakeStripe
    transport: GuardedTransport
    called: list[str]

    @property
    def sql(self) -> Any:
        return self.fake.store.sql

    def sessions(self) -> list[dict[str, Any]]:
        return list(self.fake.store.newest("checkout.session"))

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the events whose type begins with `kind`, oldest first; thin events come after the others."""
        events = [*list(self.fake.store.newest("event"))[::-1], *list(self.fake.store.newest("v2.core.event"))[::-1]]
        return [event for event in events if event["type"].startswith(kind)]

    def deliver(self, event: dict[str, Any], *, secret: str = SECRET, age_s: int = 0, body: bytes = b"") -> int:
        """Send a webhook and return the status of the site's answer."""
        event = {name: value for name, value in event.items() if not name.startswith("_")}
        if event.get("object") in ("event", "v2.core.event"):
            wire.check_event(event)
        body = body or body_of(event)
        header = signature(body, secret, at=int(self.fake.emitter.clock()) - age_s)
        answer = Client().post(
            "/stripe/webhook", body, content_type="application/json", headers={"Stripe-Signature": header}
        )
        return answer.status_code

    def deliver_all(self) -> None:
        for event in self.events():
            assert self.deliver(event) == 200

    def pay(self, top_up: CardTopUp, number: str = "4242424242424242") -> str:
        top_up.refresh_from_db()
        return self.fake.payments.pay(top_up.session_id, number)

    def run(self) -> None:
        """Make everything due now, and run the workers until nothing is due."""
        StripeCommand.objects.filter(status="queued").update(due_at="2020-01-01T00:00Z")
        StripeEvent.objects.filter(status="received").update(due_at="2020-01-01T00:00Z")
        outbox.send_due()
        inbox.process_due()


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[FakeWorld]:
    settings.STRIPE_SECRET_KEY = "sk_test_fake_tests"
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    settings.STRIPE_API_BASE = "http://fake-stripe.test"
    fake = FakeStripe()
    transport = GuardedTransport(to_fake(fake))
    monkeypatch.setattr("billing.stripe.gateway.client.http_client", lambda: transport)
    # Tests run inside a transaction that never commits. A page shows what Stripe answered in the same request, so that
    # callbacks captured until the end of a block would come too late.
    at_once = SimpleNamespace(atomic=transaction.atomic, on_commit=lambda work: work())
    monkeypatch.setattr("billing.stripe.outbox.transaction", at_once)
    with sdk_types.installed(monkeypatch) as called:
        yield FakeWorld(fake, transport, called)


def thin_event(event_id: str = "evt_thin") -> bytes:
    """Return the body of a thin event, as API v2 sends it."""
    return json.dumps(
        {
            "id": event_id,
            "object": "v2.core.event",
            "type": "v2.core.account[requirements].updated",
            "created": "2026-11-24T06:00:00.000Z",
            "livemode": False,
            "related_object": {"id": "acct_1", "type": "v2.core.account", "url": "/v2/core/accounts/acct_1"},
        }
    ).encode()
