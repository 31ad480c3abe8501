"""The owner's week: local time with its clock changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES


def zone(name: str) -> tzinfo | None:
    """The time zone, or None when there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_or_utc(name: str) -> tzinfo:
    """For counting by the day and the month, which must go on whatever a zone is called."""
    return zone(name) or UTC


def minute_of_week(local: datetime) -> int:
    return local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute


def within(minute: int, weekday: int, start: int, end: int) -> bool:
    """Is a minute of the week in the span? One that ends at or before its start ends on the next day."""
    length = end - start if end > start else end - start + DAY_MINUTES
    return (minute - weekday * DAY_MINUTES - start) % WEEK_MINUTES < length


def day_length(day: date, where: tzinfo) -> timedelta:
    """From midnight to midnight: 24 hours, or 23 or 25 when the clock changes."""
    start = datetime.combine(day, time(), where).astimezone(UTC)
    return datetime.combine(day + timedelta(days=1), time(), where).astimezone(UTC) - start


def next_of(points: Iterable[tuple[int, int]], now: datetime, where: tzinfo, within_minutes: int) -> datetime | None:
    """The first (weekday, minute) after ``now``, as local time, if it is at most ``within_minutes`` of real time away."""
    lead = timedelta(minutes=max(0, min(within_minutes, WEEK_MINUTES)))
    today = now.astimezone(where).date()
    wanted = {divmod((weekday * DAY_MINUTES + minute) % WEEK_MINUTES, DAY_MINUTES) for weekday, minute in points}
    found = [
        at
        for day in (today + timedelta(days=ahead) for ahead in range(9))
        for weekday, minute in wanted
        if day.weekday() == weekday
        and timedelta() < (at := datetime.combine(day, _time(minute), where).astimezone(UTC)) - now <= lead
    ]
    return min(found).astimezone(where) if found else None


def _time(minute: int) -> time:
    return time(minute // 60, minute % 60)
