"""Sleep in a way that libfaketime 0.9.10 does not change. Every interpreter of a run on another clock imports this file.

libfaketime moves the deadline of `clock_nanosleep` on the monotonic clock even if it is set not to fake that clock (its
issue 426). From Python 3.11 on, `time.sleep` uses that call, so every sleep would fail. See tests/clock.py.
"""

import select
import time


def sleep(seconds: float, /) -> None:
    """Wait as `time.sleep` does. Raises ValueError when `seconds` is negative."""
    select.select([], [], [], seconds)


time.sleep = sleep
