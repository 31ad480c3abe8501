"""The whole state machine, and how it is run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.billing.machine.banks import Banks
from tests.billing.machine.customers import Customers
from tests.billing.machine.operators import Operators
from tests.billing.machine.payees import OwnersPaid
from tests.billing.machine.post import Post
from tests.billing.machine.scene import make_scene
from tests.billing.machine.truth import Truth
from tests.billing.machine.work import Work
from tests.conformance.fixture import FakeWorld


class Money(Customers, Banks, Work, OwnersPaid, Operators, Post, Truth):
    """All actors together, with all invariants."""


def run(stripe: FakeWorld, site: Any, *, first: int, runs: int, steps: int, shrinks: bool = True) -> None:
    """Run the machine `runs` times, with random sequences of at most `steps` acts drawn from the seed `first`.

    Raises the assertion that a run found; with `shrinks`, that of the shortest sequence that leads to it.
    """
    site.PAYOUT_MIN_MICRO, site.PAYOUT_HOLD_DAYS = 1_000_000, -1
    Money.world, Money.scene = stripe, make_scene(stripe)
    phases = [Phase.generate, Phase.shrink] if shrinks else [Phase.generate]
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=shrinks,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        verbosity=Verbosity.normal if shrinks else Verbosity.quiet,
    )
    with _quiet():
        run_state_machine_as_test(seed(first)(lambda: Money()), settings=chosen)


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch logging off: most acts are refused, and every refusal is logged."""
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
