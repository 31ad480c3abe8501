"""A process that dies between two steps: a step is one statement to the database, or one call to Stripe."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from core.errors import DomainError
from tests.conformance.fixture import FakeWorld


class Crash(BaseException):
    """No handler of ours may catch it."""


class Countdown:
    """Dies before the n-th step from now; never with n = 0."""

    def __init__(self, world: FakeWorld) -> None:
        self.left = 0
        world.transport.before = world.transport.after = self.step

    @contextmanager
    def dying_after(self, steps: int) -> Iterator[None]:
        """Ends quietly when it died, and when what was asked for was refused."""
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
        """In a run, services' transactions are savepoints: who dies before a commit leaves nothing, as in life."""
        if not sql.startswith("ROLLBACK"):
            try:
                self.step()
            except Crash:
                if sql.startswith("RELEASE"):
                    execute(sql.replace("RELEASE", "ROLLBACK TO", 1), params, many, context)
                raise
        return execute(sql, params, many, context)
