"""Money, from customers' cards to owners' banks, whatever happens: one machine over all of it.

Customers, banks, cars, owners, operators, Stripe's post and our workers act in any order; any of our processes may die between
any two steps. After every act nothing may be double or out of balance; at the end of a run, when all has come to rest,
nothing may be lost: told from what Stripe took and sent, to the cent. `DRIVEWAY_MONEY_RUNS=10000 pytest -n auto
tests/billing/machine` runs longer, with other runs each time.
"""

import logging
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.billing.machine.banks import Banks
from tests.billing.machine.customers import Customers
from tests.billing.machine.operators import Operators
from tests.billing.machine.payees import OwnersPaid
from tests.billing.machine.post import Post
from tests.billing.machine.scene import make_scene
from tests.billing.machine.truth import Truth
from tests.billing.machine.work import Work
from tests.conformance.fixture import FakeWorld, stripe

__all__ = ["stripe"]
RUNS = int(os.environ.get("DRIVEWAY_MONEY_RUNS", "200"))
STEPS = int(os.environ.get("DRIVEWAY_MONEY_STEPS", "40"))
FIRST = int(os.environ.get("DRIVEWAY_MONEY_SEED", "0"))
PARTS = 4 if RUNS <= 400 else 40  # of the runs, for several workers
pytestmark = pytest.mark.django_db(transaction=True)


class Money(Customers, Banks, Work, OwnersPaid, Operators, Post, Truth):
    """Everybody."""


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_no_cent_is_lost_or_made(stripe: FakeWorld, settings: Any, part: int) -> None:
    logging.disable()
    settings.PAYOUT_MIN_MICRO, settings.PAYOUT_HOLD_DAYS = 1_000_000, -1
    Money.world, Money.scene = stripe, make_scene(stripe)
    run_state_machine_as_test(seed(FIRST + part)(lambda: Money()), settings=_settings(-(-RUNS // PARTS)))


def _settings(runs: int) -> settings:
    return settings(
        max_examples=runs, stateful_step_count=STEPS, deadline=None, database=None, print_blob=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False,
    )  # fmt: skip
