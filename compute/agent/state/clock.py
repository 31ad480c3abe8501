"""Calculations in the owner's local time, with clock changes: minutes of the week, days, time zones. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES


def zone(name: str) -> tzinfo | None:
    """Return the time zone of that name, or None if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_or_utc(name: str) -> tzinfo:
    """Return the time zone, or UTC for an unknown name, so that counting by day and month never fails."""
    return zone(name) or UTC


def minute_of_week(local: datetime) -> int:
    """Return the minutes since Monday 00:00 of a local time."""
    return local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute


def is_within(minute: int, weekday: int, start: int, end: int) -> bool:
    """Return whether a minute of the week lies in the span.

    A span whose end is not after its start ends the next day.
    """
    length = end - start if end > start else end - start + DAY_MINUTES
    return (minute - weekday * DAY_MINUTES - start) % WEEK_MINUTES < length


def day_length(day: date, where: tzinfo) -> timedelta:
    """Return the time from midnight to midnight: 24 hours, or another length on a day when the clock changes."""
    start = datetime.combine(day, time(), where).astimezone(UTC)
    return datetime.combine(day + timedelta(days=1), time(), where).astimezone(UTC) - start


def next_occurrence(
    points: Iterable[tuple[int, int]], now: datetime, where: tzinfo, within_minutes: int
) -> datetime | None:
    """Return the local time of the first of ``points`` (weekday, minute) after ``now``.

    Return None if it is more than ``within_minutes`` of elapsed time away.
    """
    lead = timedelta(minutes=max(0, min(within_minutes, WEEK_MINUTES)))
    today = now.astimezone(where).date()
    wanted = {divmod((weekday * DAY_MINUTES + minute) % WEEK_MINUTES, DAY_MINUTES) for weekday, minute in points}
    upcoming = [
        at
        for day in (today + timedelta(days=ahead) for ahead in range(9))
        for weekday, minute in wanted
        if day.weekday() == weekday
        and timedelta() < (at := datetime.combine(day, _time(minute), where).astimezone(UTC)) - now <= lead
    ]
    return min(upcoming).astimezone(where) if upcoming else None


def _time(minute: int) -> time:
    return time(minute // 60, minute % 60)
