"""The page of what a customer's jobs used and cost: a month by days or a year by months, and for each model."""

from datetime import UTC, date
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access.guards import organization_required
from accounts.models import Organization
from billing.documents.amounts import exact_amount
from billing.usage import selectors, spend_caps
from billing.usage.selectors import SUMS, UsageSum
from billing.views import spans
from compute.models import ModelArtifact
from core import locale
from core.charts import BarChart, Series, bar_chart
from core.files import download
from core.spreadsheets import csv_text

COLUMNS = ("day", "model", "model_name", *SUMS, "currency")


@never_cache
@require_GET
@organization_required
def usage(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show a month (`?month=2026-11`) or a year (`?year=2026`); without either, the present month (UTC)."""
    first = selectors.first_day(organization)
    by_year, span, currency = "year" in request.GET, spans.requested_span(request), organization.currency
    if by_year:
        rows = selectors.months(organization, span.since.year)
    else:
        rows = selectors.days(organization, span.since, span.until)
    context = {
        "by_year": by_year,
        "title": str(span.since.year) if by_year else locale.month(span.since),
        "chart": _chart(rows, currency, by_year=by_year),
        "rows": [_row(row, currency) for row in rows if not row.is_empty],
        "models": [_model(row, currency) for row in selectors.models(organization, span.since, span.until)],
        "total": _row(selectors.total(rows), currency),
        "month": present_month(organization),
        "has_used": first is not None,
        **spans.span_links(span, first, by_year=by_year),
    }
    return render(request, "billing/usage.html", context)


@never_cache
@require_GET
@organization_required
def usage_csv(request: HttpRequest, organization: Organization, year: int, month: int) -> HttpResponse:
    """Download a month as CSV, with a row for each day and model. Amounts are in micro-units."""
    name = f"{year:04}-{month:02}"
    span = spans.parse_month(name)
    rows = selectors.models_by_day(organization, span.since, span.until)
    body = csv_text([COLUMNS, *(_cells(row, organization.currency) for row in rows)])
    return download(body, filename=f"driveway-usage-{name}.csv", content_type="text/csv; charset=utf-8")


def present_month(organization: Organization) -> dict[str, Any]:
    """Return the present month (UTC) and its spend cap as formatted texts for templates."""
    month, currency = spend_caps.month(organization), organization.currency
    cap, left, used = month.cap_micro, month.left_micro, month.charged_micro + month.held_micro
    return {
        "since": timezone.now().astimezone(UTC).date().replace(day=1),
        "charged": exact_amount(month.charged_micro, currency),
        "held": exact_amount(month.held_micro, currency),
        "used": exact_amount(used, currency),
        "cap": None if cap is None else exact_amount(cap, currency),
        "left": None if left is None else exact_amount(left, currency),
        "is_used_up": left == 0,
        "used_permille": 0 if cap is None else min(1000, used * 1000 // cap if cap else 1000),
    }


def _row(row: UsageSum[Any], currency: str) -> dict[str, Any]:
    return {
        "key": row.key,
        **{name: getattr(row, name) for name in SUMS},
        "charged": exact_amount(row.charged_micro, currency),
    }


def _model(row: UsageSum[ModelArtifact], currency: str) -> dict[str, Any]:
    return {**_row(row, currency), "key": row.key.name or str(row.key.public_id)}


def _cells(row: UsageSum[tuple[date, ModelArtifact]], currency: str) -> tuple[Any, ...]:
    day, model = row.key
    return (day, model.public_id, model.name, *(getattr(row, name) for name in SUMS), currency)


def _chart(rows: list[UsageSum[date]], currency: str, *, by_year: bool) -> BarChart:
    highest = max((row for row in rows if not row.is_empty), key=lambda row: row.charged_micro, default=None)
    date_text = locale.month if by_year else locale.day
    return bar_chart(
        title="Charged by month" if by_year else "Charged by day",
        description=(
            f"Most on {date_text(highest.key)}: {locale.format_money(highest.charged_micro, currency)}. "
            "The table below has every figure."
        )
        if highest
        else "",
        labels=[locale.short_month(row.key) if by_year else str(row.key.day) for row in rows],
        series=[Series("a", "Charged", [row.charged_micro for row in rows])],
        say=lambda micro: locale.format_money(micro, currency),
    )
