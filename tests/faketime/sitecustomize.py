"""Read by every interpreter of a run on another clock (tests/clock.py): sleep in a way that libfaketime 0.9.10 leaves alone.

It moves the deadline of `clock_nanosleep` on the monotonic clock even when told to keep off that clock (its issue 426), and from
Python 3.11 on `time.sleep` is made of that: every sleep would fail.
"""

import select
import time


def sleep(seconds: float, /) -> None:
    """Wait as `time.sleep` does. Raises ValueError when `seconds` is negative."""
    select.select([], [], [], seconds)


time.sleep = sleep
