"""Pages of a customer's invoices, and receipts of top-ups and refunds. Every member may read them."""

from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access.guards import organization_required
from accounts.models import Organization
from billing import periods
from billing.documents import invoice as invoice_paper
from billing.documents import receipt as receipt_paper
from billing.documents.amounts import exact_amount
from billing.invoices import invoices
from billing.models import CardTopUp, Invoice, Refund
from core.files import download

PAGE, LINES = 25, 100


@never_cache
@require_GET
@organization_required
def invoice_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    """List the organization's invoices, newest first."""
    page = Paginator(_invoices(organization).order_by("-id"), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "invoices": [_row(invoice) for invoice in page]}
    return render(request, "billing/invoice_list.html", context)


@never_cache
@require_GET
@organization_required
def invoice_detail(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Show one invoice with a page of its lines."""
    invoice = get_object_or_404(_invoices(organization), public_id=public_id)
    lines = invoice.lines.select_related("order__job").order_by("id")
    page = Paginator(lines, LINES).get_page(request.GET.get("page"))
    context = {
        **_row(invoice),
        "page": page,
        "lines": [{"line": line, "amount": exact_amount(line.amount_micro, invoice.currency)} for line in page],
        "sums": invoice_paper.sums(invoice),
        "payment": invoice_paper.payment(invoice),
        "paid": invoice_paper.PAID_NOTE,
    }
    return render(request, "billing/invoice_detail.html", context)


@never_cache
@require_GET
@organization_required
def invoice_pdf(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Download one invoice as PDF."""
    invoice = get_object_or_404(_invoices(organization), public_id=public_id)
    return _pdf(invoice_paper.render(invoice), invoice_paper.file_name(invoice))


@never_cache
@require_GET
@organization_required
def top_up_receipt(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Download the receipt of a top-up by card that was paid. Answers 404 for one that was not."""
    rows = CardTopUp.objects.select_related("organization", "top_up").filter(status=CardTopUp.Status.PAID)
    row = get_object_or_404(rows, organization=organization, public_id=public_id)
    return _pdf(receipt_paper.render_top_up(row), f"receipt-{receipt_paper.number_of(row.public_id)}.pdf")


@never_cache
@require_GET
@organization_required
def refund_receipt(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Download the receipt of a refund that succeeded. Answers 404 for any other."""
    rows = Refund.objects.select_related("organization").filter(status=Refund.Status.SUCCEEDED)
    row = get_object_or_404(rows, organization=organization, public_id=public_id)
    return _pdf(receipt_paper.render_refund(row), f"refund-{receipt_paper.number_of(row.public_id)}.pdf")


def _pdf(paper: bytes, filename: str) -> HttpResponse:
    return download(paper, filename=filename, content_type="application/pdf")


def _invoices(organization: Organization) -> QuerySet[Invoice]:
    return Invoice.objects.filter(organization=organization).select_related("organization")


def _row(invoice: Invoice) -> dict[str, object]:
    return {
        "invoice": invoice,
        "number": invoices.number_of(invoice),
        "first_day": periods.first_day(invoice),
        "last_day": periods.last_day(invoice),
    }
