"""Pages of an owner's statements, and of the payments of a year as a tax office asks for them."""

from datetime import UTC
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access.guards import owner_required
from accounts.models import Owner
from billing import periods
from billing.documents import statement as paper
from billing.documents.amounts import exact_amount
from billing.earnings import selectors as earnings
from billing.earnings import tax, tax_files
from billing.earnings.selectors import EarningsSum
from billing.models import ConnectedAccount, Payout, Statement, StatementLine
from billing.payouts import words as payout_words
from billing.statements import selectors as statement_selectors
from billing.views.spans import YEARS
from core.files import download

PAGE = 25


@never_cache
@require_GET
@owner_required
def statement_list(request: HttpRequest, owner: Owner) -> HttpResponse:
    """List the owner's statements, newest first."""
    rows = Statement.objects.filter(owner=owner).select_related("payout").order_by("-number")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "statements": [_row(statement) for statement in page],
        "next_statement_at": earnings.next_statement_at(),
        "tax_year": timezone.now().astimezone(UTC).year,
    }
    return render(request, "billing/statement_list.html", context)


@never_cache
@require_GET
@owner_required
def statement_detail(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Show one statement."""
    statement = get_object_or_404(_statements(owner), public_id=public_id)
    detail = statement_selectors.detail(statement)
    context = {
        **_row(statement),
        "work": [_work_row(earned, statement.currency) for earned in detail.work],
        "work_total": _amounts(detail.work_total, statement.currency),
        "others": [
            {"line": line, "amount": exact_amount(line.amount_micro, statement.currency)} for line in detail.others
        ],
        "sums": [(name, exact_amount(micro, statement.currency)) for name, micro in detail.sums()],
        "carried_micro": statement.carried_micro,
        "why": payout_words.why(detail.payout) if detail.payout else "",
        "minimum_micro": settings.PAYOUT_MIN_MICRO,
        "rounding": paper.ROUNDING,
    }
    return render(request, "billing/statement_detail.html", context)


@never_cache
@require_GET
@owner_required
def statement_pdf(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Download one statement as PDF."""
    statement = get_object_or_404(_statements(owner), public_id=public_id)
    return download(paper.render(statement), filename=paper.file_name(statement), content_type="application/pdf")


@never_cache
@require_GET
@owner_required
def earnings_tax(request: HttpRequest, owner: Owner, year: int) -> HttpResponse:
    """Show what the owner was paid in a year, by quarters, and whether a tax form's threshold is reached."""
    _require_year(year)
    this_year = timezone.now().astimezone(UTC).year
    form, rows = tax.form_of(owner.country, year), tax.year_of(owner, year)
    context = {
        "year": year,
        "years": [_tax_row(row) for row in rows],
        "form": form,
        "reaches": any(row.reaches(form) for row in rows) if form else False,
        "threshold": exact_amount(form.threshold_micro, form.currency) if form else "",
        "older": year - 1 if Payout.objects.filter(owner=owner, paid_at__year__lt=year).exists() else None,
        "newer": year + 1 if year < this_year else None,
        "is_over": year < this_year,
        "has_account": ConnectedAccount.objects.filter(owner=owner, status=ConnectedAccount.Status.ACTIVE).exists(),
    }
    return render(request, "billing/earnings_tax.html", context)


@never_cache
@require_GET
@owner_required
def earnings_tax_csv(request: HttpRequest, owner: Owner, year: int) -> HttpResponse:
    """Download the payments of a year as CSV."""
    _require_year(year)
    body = tax_files.owner_csv(owner, year)
    return download(body, filename=f"driveway-payments-{year}.csv", content_type="text/csv; charset=utf-8")


def _statements(owner: Owner) -> QuerySet[Statement]:
    return Statement.objects.filter(owner=owner).select_related("owner", "payout")


def _require_year(year: int) -> None:
    if year not in YEARS:
        raise Http404


def _row(statement: Statement) -> dict[str, Any]:
    payout: Payout | None = getattr(statement, "payout", None)  # none if the sum was below the minimum
    return {
        "statement": statement,
        "first_day": periods.first_day(statement),
        "last_day": periods.last_day(statement),
        "earned": exact_amount(statement.earned_micro, statement.currency),
        "paid_out": exact_amount(statement.paid_out_micro, statement.currency),
        "carried": exact_amount(statement.carried_micro, statement.currency),
        "payout": payout,
        "state": payout_words.state(payout) if payout else "",
    }


def _work_row(earned: EarningsSum[StatementLine], currency: str) -> dict[str, Any]:
    return {"line": earned.key, **_amounts(earned, currency)}


def _amounts(earned: EarningsSum[Any], currency: str) -> dict[str, Any]:
    names = ("gross_micro", "energy_micro", "wear_micro", "net_micro")
    amounts = {name.removesuffix("_micro"): exact_amount(getattr(earned, name), currency) for name in names}
    return {"attempts": earned.attempts, "compute_ms": earned.compute_ms, **amounts}


def _tax_row(row: tax.TaxYear) -> dict[str, Any]:
    return {
        "currency": row.currency,
        "quarters": [(n, _paid(q, row)) for n, q in row.quarters.items()],
        **_paid(row, row),
    }


def _paid(sums: tax.Quarter | tax.TaxYear, row: tax.TaxYear) -> dict[str, Any]:
    amounts = {"paid": sums.paid_micro, "fees": sums.fees_micro, "withheld": sums.withheld_micro}
    jobs = sums.activities if isinstance(sums, tax.Quarter) else None
    return {
        "payouts": sums.payouts,
        "jobs": jobs,
        **{n: exact_amount(micro, row.currency) for n, micro in amounts.items()},
    }
