"""A process that dies before a chosen step. A step is one statement to the database or one call to Stripe."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from core.errors import DomainError
from tests.conformance.fixture import FakeWorld


class Crash(BaseException):
    """The death of a process. A BaseException, so that no handler of ours catches it."""


class Countdown:
    """Counts steps, and raises Crash before the n-th one; never with n = 0."""

    def __init__(self, world: FakeWorld) -> None:
        self.left = 0
        world.transport.before = world.transport.after = self.step

    @contextmanager
    def dying_after(self, steps: int) -> Iterator[None]:
        """Run the block until it ends, dies before step `steps`, or is refused with a DomainError. Raises neither."""
        self.left = steps
        try:
            with connection.execute_wrapper(self._statement):
                yield
        except (Crash, DomainError):
            pass
        finally:
            self.left = 0

    def step(self) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                raise Crash

    def _statement(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Count a statement as a step.

        Services' transactions are savepoints here. A process that dies before a commit (RELEASE) must leave nothing, as
        with a real transaction, so the savepoint is rolled back.
        """
        if not sql.startswith("ROLLBACK"):
            try:
                self.step()
            except Crash:
                if sql.startswith("RELEASE"):
                    execute(sql.replace("RELEASE", "ROLLBACK TO", 1), params, many, context)
                raise
        return execute(sql, params, many, context)
