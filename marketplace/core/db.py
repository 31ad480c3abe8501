import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import OperationalError, transaction

P = ParamSpec("P")
R = TypeVar("R")
DEADLOCK, SERIALIZATION = "40P01", "40001"
ATTEMPTS = 4


def atomic_retrying(work: Callable[P, R]) -> Callable[P, R]:
    """Run in a transaction of its own, again when PostgreSQL chose it as a deadlock's victim. Not for nesting."""

    @functools.wraps(work)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(ATTEMPTS):
            try:
                with transaction.atomic():
                    return work(*args, **kwargs)
            except OperationalError as error:
                victim = getattr(error.__cause__, "sqlstate", None) in (DEADLOCK, SERIALIZATION)
                if not victim or attempt == ATTEMPTS - 1 or transaction.get_connection().in_atomic_block:
                    raise
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    return wrapper
