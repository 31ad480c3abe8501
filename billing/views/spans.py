"""Parse the month or year (UTC) that a page of figures is requested for."""

from datetime import UTC, date, timedelta

from django.http import Http404, HttpRequest
from django.utils import timezone

from billing.periods import Span

YEARS = range(2000, 2999)


def requested_span(request: HttpRequest) -> Span:
    """Return the span of `?month=2026-11` or `?year=2026`, or the present month without either. Raises Http404."""
    if "year" in request.GET:
        return parse_year(request.GET["year"])
    if "month" in request.GET:
        return parse_month(request.GET["month"])
    today = timezone.now().astimezone(UTC).date()
    return Span.month(today.year, today.month)


def span_links(span: Span, first: date | None, *, by_year: bool) -> dict[str, date | None]:
    """Return the links of components/span_nav.html.

    `older` is the span before, if `first` (the first day with figures) is not after it; `newer` is the next span, if it
    has begun.
    """
    today, before = timezone.now().astimezone(UTC).date(), span.since - timedelta(days=1)
    older = before.replace(month=1, day=1) if by_year else before.replace(day=1)
    return {
        "since": span.since,
        "older": older if first and first <= before else None,
        "newer": span.until if span.until <= today else None,
        "latest_month": min(max(span.since, first or span.since), today),
    }


def parse_month(text: str) -> Span:
    """Parse `2026-11`. Raises Http404."""
    year_text, _, month_text = text.partition("-")
    is_date = _is_number(year_text, 4) and _is_number(month_text, 2)
    if not (is_date and int(year_text) in YEARS and 1 <= int(month_text) <= 12):
        raise Http404
    return Span.month(int(year_text), int(month_text))


def parse_year(text: str) -> Span:
    """Parse `2026`. Raises Http404."""
    if not (_is_number(text, 4) and int(text) in YEARS):
        raise Http404
    return Span.year(int(text))


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) == digits
