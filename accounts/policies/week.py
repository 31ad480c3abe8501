"""Windows of the week: [weekday, start minute, end minute].

Weekday 0 is Monday; minutes count from midnight. A window whose end is not after its start ends on the next day.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES


class Span(NamedTuple):
    """The same hours on some days. From 0 to 0 means the whole day."""

    days: tuple[int, ...]
    start: int
    end: int

    @property
    def is_whole_day(self) -> bool:
        return self.start == self.end == 0


def minutes_of(weekday: int, start: int, end: int) -> list[int]:
    """Return the minutes of the week in a window; minutes after the end of Sunday are those of Monday."""
    length = end - start if end > start else end - start + DAY_MINUTES
    opened = weekday * DAY_MINUTES + start
    return [minute % WEEK_MINUTES for minute in range(opened, opened + length)]


def coverage(windows: Iterable[Sequence[int]]) -> bytearray:
    """Return a byte for each minute of the week: 1 if some window contains it."""
    week = bytearray(WEEK_MINUTES)
    for weekday, start, end in windows:
        for minute in minutes_of(weekday, start, end):
            week[minute] = 1
    return week


def overlaps(windows: Iterable[Sequence[int]]) -> bool:
    """Return whether two of the windows share a minute."""
    windows = list(windows)
    return sum(coverage(windows)) != sum(len(minutes_of(*window)) for window in windows)


def merge_windows(windows: Iterable[Sequence[int]]) -> list[Span]:
    """Return the fewest spans with the same minutes as the windows.

    Windows that touch or overlap are joined, and days with equal hours share a span. What is longer than a day is cut
    at midnight. The whole week is every day from 0 to 0.
    """
    return group_windows(_windows_of(coverage(windows)))


def group_windows(windows: Iterable[Sequence[int]]) -> list[Span]:
    """Return the windows as spans, in the order of their first day. Days with equal hours share a span."""
    days: dict[tuple[int, int], set[int]] = {}
    for weekday, start, end in windows:
        days.setdefault((start, end % DAY_MINUTES), set()).add(weekday)
    spans = [Span(tuple(sorted(on)), start, end) for (start, end), on in days.items()]
    return sorted(spans, key=lambda span: (span.days[0], span.start, span.end))


def _windows_of(week: bytearray) -> list[tuple[int, int, int]]:
    if all(week):
        return [(weekday, 0, 0) for weekday in range(7)]
    # Start at minutes whose predecessor is not covered, so that the end of Sunday does not cut a window.
    starts = [minute for minute in range(WEEK_MINUTES) if week[minute] and not week[minute - 1]]
    return [window for start in starts for window in _cut(start, _length(week, start))]


def _length(week: bytearray, start: int) -> int:
    length = 1
    while week[(start + length) % WEEK_MINUTES]:
        length += 1
    return length


def _cut(start: int, length: int) -> list[tuple[int, int, int]]:
    """Return a run of minutes as windows: one if it lasts at most a day, else one for each day."""
    if length <= DAY_MINUTES:
        return [_window(start, length)]
    pieces = []
    while length:
        piece = min(length, DAY_MINUTES - start % DAY_MINUTES)
        pieces.append(_window(start, piece))
        start, length = (start + piece) % WEEK_MINUTES, length - piece
    return pieces


def _window(start: int, length: int) -> tuple[int, int, int]:
    weekday, minute = divmod(start, DAY_MINUTES)
    return weekday, minute, (minute + length) % DAY_MINUTES
