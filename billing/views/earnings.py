"""The page of what an owner's cars earned: a month by days or a year by months, and for each car."""

from datetime import date
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access.guards import owner_required
from accounts.models import Owner
from billing.documents.amounts import exact_amount
from billing.earnings import selectors
from billing.earnings.selectors import EarningsSum
from billing.periods import Span
from billing.views import spans
from core import locale
from core.charts import BarChart, Series, bar_chart


@never_cache
@require_GET
@owner_required
def earnings(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Show a month (`?month=2026-11`) or a year (`?year=2026`); without either, the present month (UTC)."""
    currencies = selectors.currencies(owner)
    currency = request.GET.get("currency") or owner.currency
    if currency not in currencies:
        raise Http404
    by_year = "year" in request.GET
    span = spans.requested_span(request)
    rows, first = _rows_of(owner, span, currency, by_year=by_year), selectors.first_day(owner)
    context = {
        "by_year": by_year,
        "title": str(span.since.year) if by_year else locale.month(span.since),
        "currency": currency,
        "query": f"&currency={currency}",
        "currencies": currencies if len(currencies) > 1 else [],
        "chart": _chart(rows, currency, by_year=by_year),
        "rows": [_formatted(row, currency) for row in rows if not row.is_empty],
        "total": _formatted(selectors.total(rows), currency),
        "vehicles": [
            _formatted(row, currency) for row in selectors.vehicles(owner, span.since, span.until, currency=currency)
        ],
        "has_earned": first is not None,
        "this_year": span.since.year,
        **spans.span_links(span, first, by_year=by_year),
        **_balances(owner, currency),
    }
    return render(request, "billing/earnings.html", context)


def _rows_of(owner: Owner, span: Span, currency: str, *, by_year: bool) -> list[EarningsSum[date]]:
    if by_year:
        return selectors.months(owner, span.since.year, currency=currency)
    return selectors.days(owner, span.since, span.until, currency=currency)


def _balances(owner: Owner, currency: str) -> dict[str, Any]:
    owed = selectors.owed_amounts(owner, currency=currency)
    return {
        "owed": exact_amount(owed.payable_micro, currency),
        "in_transit": exact_amount(owed.in_transit_micro, currency) if owed.in_transit_micro else "",
        "reserve": exact_amount(owed.reserve_micro, currency) if owed.reserve_micro else "",
        "lifetime": exact_amount(selectors.lifetime_total(owner, currency=currency).net_micro, currency),
        "next_statement_at": selectors.next_statement_at(),
    }


def _formatted(row: EarningsSum[Any], currency: str) -> dict[str, Any]:
    names = ("gross_micro", "energy_micro", "wear_micro", "net_micro")
    amounts = {name.removesuffix("_micro"): exact_amount(getattr(row, name), currency) for name in names}
    return {"key": row.key, "attempts": row.attempts, "compute_ms": row.compute_ms, **amounts}


def _chart(rows: list[EarningsSum[date]], currency: str, *, by_year: bool) -> BarChart:
    parts = (("a", "Net, yours", "net_micro"), ("b", "Energy", "energy_micro"), ("c", "Wear", "wear_micro"))
    with_work = [row for row in rows if not row.is_empty]
    best = max(with_work, key=lambda row: row.gross_micro, default=None)
    date_text = locale.month if by_year else locale.day
    return bar_chart(
        title="Gross earnings by month" if by_year else "Gross earnings by day",
        description=(
            f"Most on {date_text(best.key)}: {locale.format_money(best.gross_micro, currency)}. "
            "The table below has every figure."
        )
        if best
        else "",
        labels=[locale.short_month(row.key) if by_year else str(row.key.day) for row in rows],
        series=[Series(key, label, [getattr(row, name) for row in rows]) for key, label, name in parts],
        say=lambda micro: locale.format_money(micro, currency),
    )
