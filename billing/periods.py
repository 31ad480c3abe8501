"""Calendar months and years in UTC: the periods of statements, invoices and spend caps."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol, Self

from django.conf import settings


class Period(Protocol):
    """Anything with a half-open period, such as a statement or an invoice."""

    period_start_at: datetime
    period_end_at: datetime


@dataclass(frozen=True)
class Span:
    """A half-open range of days (UTC): [since, until)."""

    since: date
    until: date

    @classmethod
    def month(cls, year: int, month: int) -> Self:
        """Return a calendar month."""
        return cls(date(year, month, 1), date(year + month // 12, month % 12 + 1, 1))

    @classmethod
    def year(cls, year: int) -> Self:
        """Return a calendar year."""
        return cls(date(year, 1, 1), date(year + 1, 1, 1))


def month_of(at: datetime) -> datetime:
    """Return the time (UTC) at which the month of `at` began."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def last_due(now: datetime) -> datetime:
    """Return the end (UTC) of the last month whose grace period is over: statements and invoices up to then are due."""
    return month_of(now - grace())


def grace() -> timedelta:
    """Return the grace period after a month's end: work done in the month may still have to be verified."""
    return timedelta(hours=settings.STATEMENT_GRACE_H)


def first_day(period: Period) -> date:
    """Return the first day (UTC) of the period."""
    return period.period_start_at.astimezone(UTC).date()


def last_day(period: Period) -> date:
    """Return the last day (UTC) that belongs to the period."""
    return (period.period_end_at.astimezone(UTC) - timedelta(microseconds=1)).date()
