"""Rules about what is between us and Stripe: webhooks out of order, repeated, forged, stale and lost; a network that
fails; and our workers.
"""

import random

from django.test import Client
from hypothesis.stateful import rule

from billing.chargebacks import chargebacks
from billing.models import StripeCommand, StripeEvent
from billing.stripe import inbox, outbox, sweeps
from billing.topups import recharges
from billing.wallet import low_balance
from marketplace.local.fake_stripe.webhooks import body_of, signature
from tests.billing.helpers import sweep_money
from tests.billing.machine.base import Base, crashes, picks
from tests.conformance.fixture import SECRET

FAULTS = ["lost", "broken", "busy", "refused"]


class Post(Base):
    """Webhooks, network faults and workers."""

    @rule(pick=picks, crash=crashes)
    def deliver(self, pick: int, crash: int) -> None:
        """Deliver some of the latest events, each up to three times and in any order; some are forged or stale."""
        rng = random.Random(pick)
        events = self.world.events()[-12:] * 3
        for event in rng.sample(events, min(len(events), 1 + pick % 6)):
            kind = rng.choice(["good", "good", "good", "good", "forged", "stale"])
            with self.dying_after(crash):
                status = self._post(event, kind)
                assert status == (200 if kind == "good" else 400)

    @rule(pick=picks)
    def fail(self, pick: int) -> None:
        """Make the next calls to Stripe fail: the answer is lost, Stripe has an internal error, or Stripe is busy."""
        rng = random.Random(pick)
        self.world.transport.faults = rng.choices(FAULTS[:3], k=1 + pick % 2)

    @rule(crash=crashes)
    def send(self, crash: int) -> None:
        StripeCommand.objects.filter(status="queued").update(due_at="2020-01-01T00:00Z")
        with self.dying_after(crash):
            outbox.send_due()

    @rule(crash=crashes)
    def process(self, crash: int) -> None:
        StripeEvent.objects.filter(status="received").update(due_at="2020-01-01T00:00Z")
        with self.dying_after(crash):
            inbox.process_due()

    @rule(pick=picks, crash=crashes)
    def by_the_clock(self, pick: int, crash: int) -> None:
        tasks = [
            sweeps.sweep_events,
            sweeps.sweep_balance,
            sweep_money,
            recharges.recharge_low,
            recharges.recharge_low,
            chargebacks.collect_owed,
            low_balance.mail_low,
        ]
        with self.dying_after(crash):
            tasks[pick % len(tasks)]()

    def _post(self, event: dict[str, object], kind: str) -> int:
        body = body_of({name: value for name, value in event.items() if not name.startswith("_")})
        sent_at = int(self.world.fake.emitter.clock()) - (900 if kind == "stale" else 0)
        header = signature(body, "whsec_forged" if kind == "forged" else SECRET, at=sent_at)
        return (
            Client()
            .post("/stripe/webhook", body, content_type="application/json", headers={"Stripe-Signature": header})
            .status_code
        )
