"""What every part of the machine knows: the scene, Stripe, and how a process dies."""

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

picks = st.integers(0, 59)  # which of what there is, and which of the ways
crashes = st.one_of(st.just(0), st.just(0), st.integers(1, 45))  # the step before which the process dies; 0: it lives


class Base(RuleBasedStateMachine):
    """One run: a transaction that is rolled back, in which services commit and roll back as ever."""

    world: FakeWorld
    scene: Scene

    def __init__(self) -> None:
        super().__init__()
        scene.begin(self.world, self.scene)
        self.countdown = Countdown(self.world)
        self.asked_back: dict[tuple[int, str], int] = {}  # by customer and key, the most that was asked for
        self._run = transaction.atomic()
        self._run._from_testcase = True
        self._run.__enter__()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else a step has failed already
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
        """One operator proposes and the other approves at once."""
        proposer, other = self.scene.operators
        approval = approvals.propose(kind=kind, params=params, reason=WHY, idempotency_key=key, actor=proposer)
        approvals.approve(approval=approval, actor=other)

    def section(self, kind: type[S]) -> S:
        return next(section for section in self.world.fake.sections if isinstance(section, kind))

    def at_stripe(self, kind: str) -> list[dict[str, Any]]:
        """Oldest first."""
        return list(self.world.fake.store.newest(kind))[::-1]


def one(found: Sequence[T], pick: int) -> T | None:
    return found[pick % len(found)] if found else None
