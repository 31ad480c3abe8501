"""A small, stateful stand-in for Stripe: for tests, demos and development without an account or a network.

It implements what our gateway uses and nothing else, and there it behaves as Stripe does: hosted Checkout that a person
can click through, idempotency keys, events with signed webhooks. It accepts only keys that begin with `sk_test_fake`
and imports nothing of the site. tests/conformance/ checks its responses against Stripe's published specification.
"""

from marketplace.local.fake_stripe.api import FakeStripe
from marketplace.local.fake_stripe.webhooks import Chaos

__all__ = ["Chaos", "FakeStripe"]
