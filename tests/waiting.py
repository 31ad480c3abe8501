"""Wait in tests for a named condition, with a time limit so long that only a fault reaches it.

A test never sleeps for a time in which something should have happened, and never asserts that something was quick: then
a busy machine would decide whether it passes. Speed is tested by removing the slow way (an interval of an hour), so
that only the fast way can make the thing happen.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

PATIENCE_S = 60.0
# A time-out for the site or the agent that no test reaches.
NEVER_S = 3600.0
# What the site's own time limits (presence, leases, codes) are raised to, so that none ends during the slowest run.
DAY_S = 86_400
_POLL_S = 0.01
Found = TypeVar("Found")


def until(condition: Callable[[], Found], *, what: str = "", within_s: float = PATIENCE_S) -> Found:
    """Return the condition's value as soon as it is true. Raises AssertionError that names what was waited for."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, _in_vain(condition, what, within_s)
        time.sleep(_POLL_S)
    return found


async def until_async(condition: Callable[[], Any], *, what: str = "", within_s: float = PATIENCE_S) -> Any:
    """Return the condition's value as soon as it is true. The condition may be a coroutine function.

    The event loop runs meanwhile. Raises AssertionError as `until` does.
    """
    deadline = time.monotonic() + within_s
    while not (found := await _value(condition)):
        assert time.monotonic() < deadline, _in_vain(condition, what, within_s)
        await asyncio.sleep(_POLL_S / 2)
    return found


async def _value(condition: Callable[[], Any]) -> Any:
    found = condition()
    return await found if inspect.isawaitable(found) else found


def _in_vain(condition: Callable[[], object], what: str, within_s: float) -> str:
    """Return the message of a failed wait.

    Without `what` it names the condition's place, since a lambda has no name.
    """
    code = getattr(condition, "__code__", None)
    place = f"{code.co_filename}:{code.co_firstlineno}" if code else repr(condition)
    return f"waited {within_s:g} s in vain for {what or f'the condition at {place}'}"
