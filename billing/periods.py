"""Calendar months (UTC), in which statements, invoices and caps are counted."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol, Self

from django.conf import settings


class Period(Protocol):
    """A statement or an invoice: half open."""

    period_start_at: datetime
    period_end_at: datetime


@dataclass(frozen=True)
class Span:
    """A month or a year of UTC, half open."""

    since: date
    until: date

    @classmethod
    def month(cls, year: int, month: int) -> Self:
        return cls(date(year, month, 1), date(year + month // 12, month % 12 + 1, 1))

    @classmethod
    def year(cls, year: int) -> Self:
        return cls(date(year, 1, 1), date(year + 1, 1, 1))


def month_of(at: datetime) -> datetime:
    """The moment at which its month began."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def last_due(now: datetime) -> datetime:
    """The end of the last month that is over for longer than the grace: up to then papers are due."""
    return month_of(now - grace())


def grace() -> timedelta:
    """For work that is still being checked when its month ends."""
    return timedelta(hours=settings.STATEMENT_GRACE_H)


def first_day(period: Period) -> date:
    return period.period_start_at.astimezone(UTC).date()


def last_day(period: Period) -> date:
    """The last day of which something belongs to the period."""
    return (period.period_end_at.astimezone(UTC) - timedelta(microseconds=1)).date()
