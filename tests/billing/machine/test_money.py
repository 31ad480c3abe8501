"""Money, from customers' cards to owners' banks, whatever happens: one machine over all of it.

Customers, banks, cars, owners, operators, Stripe's post and our workers act in any order; any of our processes may die between
any two steps. After every act nothing may be double or out of balance; at the end of a run, when all has come to rest,
nothing may be lost: told from what Stripe took and sent, to the cent. `DRIVEWAY_MONEY_RUNS=10000 pytest -n auto
tests/billing/machine` runs longer; DRIVEWAY_MONEY_SEED=n draws others.
"""

import os
from typing import Any

import pytest

from tests.billing.machine.money import run
from tests.conformance.fixture import FakeWorld, stripe

__all__ = ["stripe"]
RUNS = int(os.environ.get("DRIVEWAY_MONEY_RUNS", "240"))
STEPS = int(os.environ.get("DRIVEWAY_MONEY_STEPS", "24" if RUNS <= 400 else "40"))
FIRST = int(os.environ.get("DRIVEWAY_MONEY_SEED", "0"))
PARTS = 4 if RUNS <= 400 else 40  # of the runs, for several workers
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_no_cent_is_lost_or_made(stripe: FakeWorld, settings: Any, part: int):
    run(stripe, settings, first=FIRST + part, runs=-(-RUNS // PARTS), steps=STEPS)
