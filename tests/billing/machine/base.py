"""The base of all parts of the state machine: the scene, the fake Stripe, and how a process dies."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from billing.approvals import service as approvals
from marketplace.local.fake_stripe.section import Section
from tests.billing.machine import scene
from tests.billing.machine.crashes import Countdown
from tests.billing.machine.scene import Scene
from tests.conformance.fixture import FakeWorld

S = TypeVar("S", bound=Section)
T = TypeVar("T")
WHY = "The machine wants it so."

picks = st.integers(0, 59)  # selects the object that a rule acts on, and the variant of the act
crashes = st.one_of(st.just(0), st.just(0), st.integers(1, 45))  # the step before which the process dies; 0: never


class Base(RuleBasedStateMachine):
    """One run, in a transaction that is rolled back at its end. Services' own transactions are savepoints inside it."""

    world: FakeWorld
    scene: Scene

    def __init__(self) -> None:
        super().__init__()
        scene.begin(self.world, self.scene)
        self.countdown = Countdown(self.world)
        self.asked_back: dict[tuple[int, str], int] = {}  # (customer, key) -> the largest refund requested
        self._run = transaction.atomic()
        self._run._from_testcase = True
        self._run.__enter__()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # otherwise a step has failed, and the state is of no interest
                self.finish()
        finally:
            self.countdown.left = 0
            transaction.set_rollback(True)
            self._run.__exit__(None, None, None)

    def finish(self) -> None:
        raise NotImplementedError

    def dying_after(self, steps: int) -> AbstractContextManager[None]:
        return self.countdown.dying_after(steps)

    def agree(self, kind: str, params: dict[str, Any], *, key: str) -> None:
        """Let one operator propose an act and the other approve it at once."""
        proposer, other = self.scene.operators
        approval = approvals.propose(kind=kind, params=params, reason=WHY, idempotency_key=key, actor=proposer)
        approvals.approve(approval=approval, actor=other)

    def section(self, kind: type[S]) -> S:
        return next(section for section in self.world.fake.sections if isinstance(section, kind))

    def at_stripe(self, kind: str) -> list[dict[str, Any]]:
        """Return the fake's objects of a kind, oldest first."""
        return list(self.world.fake.store.newest(kind))[::-1]


def choose(items: Sequence[T], pick: int) -> T | None:
    """Return the item that `pick` selects, or None if there are none."""
    return items[pick % len(items)] if items else None
