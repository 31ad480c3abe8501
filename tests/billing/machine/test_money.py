"""The path of money from customers' cards to owners' banks, tested by one state machine with random sequences of acts.

Customers, banks, cars, owners, operators, Stripe's webhooks and our workers act in any order, and any of our processes
may die between any two steps. After every act, nothing may be double or out of balance. At the end of a run, when
everything has been processed, no cent may be lost, measured by what Stripe took and sent. `make test-long` draws more
and longer sequences, `DRIVEWAY_MONEY_RUNS=10000 pytest -n auto tests/billing/machine` as many as are asked for, and
DRIVEWAY_MONEY_SEED=n draws others.
"""

import os
from typing import Any

import pytest

from tests.billing.machine.money import run
from tests.conformance.fixture import FakeWorld, stripe
from tests.long import IS_LONG

__all__ = ["stripe"]
RUNS = int(os.environ.get("DRIVEWAY_MONEY_RUNS", "400" if IS_LONG else "12"))
STEPS = int(os.environ.get("DRIVEWAY_MONEY_STEPS", "24" if RUNS < 400 else "40"))
FIRST = int(os.environ.get("DRIVEWAY_MONEY_SEED", "0"))
PARTS = 4 if RUNS <= 400 else 40  # the runs are divided into parts for pytest's parallel workers
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_no_cent_is_lost_or_made(stripe: FakeWorld, settings: Any, part: int):
    run(stripe, settings, first=FIRST + part, runs=-(-RUNS // PARTS), steps=STEPS)
