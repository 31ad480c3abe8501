"""The month or the year (UTC) that a page of figures is asked for."""

from datetime import UTC, date, timedelta

from django.http import Http404, HttpRequest
from django.utils import timezone

from billing.periods import Span

YEARS = range(2000, 2999)


def asked(request: HttpRequest) -> Span:
    """`?month=2026-11` or `?year=2026`; else the month that it is. Raises Http404 for anything else."""
    if "year" in request.GET:
        return year(request.GET["year"])
    if "month" in request.GET:
        return month(request.GET["month"])
    today = timezone.now().astimezone(UTC).date()
    return Span.month(today.year, today.month)


def around(span: Span, first: date | None, *, by_year: bool) -> dict[str, date | None]:
    """For components/span_nav.html: to the span before, if `first` (the first day with figures) is in it or earlier, and to
    the one after, if it has begun.
    """
    today, before = timezone.now().astimezone(UTC).date(), span.since - timedelta(days=1)
    older = before.replace(month=1, day=1) if by_year else before.replace(day=1)
    return {
        "since": span.since,
        "older": older if first and first <= before else None,
        "newer": span.until if span.until <= today else None,
        "latest_month": min(max(span.since, first or span.since), today),
    }


def month(text: str) -> Span:
    first, _, second = text.partition("-")
    if not (_is_number(first, 4) and _is_number(second, 2) and int(first) in YEARS and 1 <= int(second) <= 12):
        raise Http404
    return Span.month(int(first), int(second))


def year(text: str) -> Span:
    if not (_is_number(text, 4) and int(text) in YEARS):
        raise Http404
    return Span.year(int(text))


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) == digits
