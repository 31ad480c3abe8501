"""A small, stateful stand-in for Stripe: for tests, demos and development without an account or a network.

It knows what our gateway uses and nothing else, and behaves there as Stripe does: hosted Checkout that a person can
click through, idempotency keys, events with signed webhooks. It accepts no key but `sk_test_fake...` and imports
nothing of the site; tests/conformance/ holds its answers against Stripe's published specification.
"""

from marketplace.local.fake_stripe.api import FakeStripe
from marketplace.local.fake_stripe.webhooks import Chaos

__all__ = ["Chaos", "FakeStripe"]
