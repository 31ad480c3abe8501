"""Wait for a condition. It imports no Django: the customer's programs, which have no settings, wait as well."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], *, timeout_s: float, poll_s: float = 0.05) -> Found | None:
    """Return the condition's value as soon as it is true, or None when the time has run out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(poll_s)
    return None
