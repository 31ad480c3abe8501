"""`/api/v1/invoices`: a customer's monthly invoices, as JSON and as PDF."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.request import organization_of
from billing.documents import invoice as invoice_paper
from billing.invoices.invoices import number_of
from billing.models import Invoice, InvoiceLine
from core.api import page_response
from core.errors import NotFound
from core.files import download


class PdfRenderer(JSONRenderer):
    """Accept requests for PDF. The view returns the finished bytes, so nothing is rendered here."""

    media_type = "application/pdf"
    format = "pdf"


class InvoiceOut(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    number = serializers.SerializerMethodField(help_text="The invoice number, as on the PDF.")
    currency = serializers.CharField()
    period_start_at = serializers.DateTimeField()
    period_end_at = serializers.DateTimeField(help_text="Exclusive: not part of the period.")
    charged_micro = serializers.IntegerField(help_text="Charges for verified work.")
    corrected_micro = serializers.IntegerField(help_text="Charges that were given back; negative.")
    total_micro = serializers.IntegerField(help_text="Already paid from the prepaid wallet.")
    promo_micro = serializers.IntegerField(help_text="The part of the total that was paid with promotional credit.")
    customer_name = serializers.CharField()
    customer_address = serializers.CharField()
    created_at = serializers.DateTimeField()

    def get_number(self, invoice: Invoice) -> str:
        """Return the invoice number."""
        return number_of(invoice)


class InvoiceLineOut(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(InvoiceLine.Kind.choices)
    job = serializers.UUIDField(source="order.job.public_id", default=None, allow_null=True)
    description = serializers.CharField()
    items = serializers.IntegerField()
    compute_ms = serializers.IntegerField()
    energy_mwh = serializers.IntegerField(help_text="Milliwatt-hours.")
    price_micro_per_hour = serializers.IntegerField()
    price_micro_per_kwh = serializers.IntegerField()
    amount_micro = serializers.IntegerField(help_text="Signed: positive is a charge, negative was given back.")


class InvoiceDetailOut(InvoiceOut):
    lines = InvoiceLineOut(many=True)


class Invoices(APIView):
    required_scope = "wallet:read"

    @extend_schema(operation_id="invoices_list", responses=InvoiceOut(many=True))
    def get(self, request: Request) -> Response:
        """List invoices, newest first.

        A charge is on exactly one; late charges and corrections are on the next invoice.
        """
        rows = Invoice.objects.filter(organization=organization_of(request)).select_related("organization")
        return page_response(self, request, rows, InvoiceOut)


class InvoiceDetail(APIView):
    required_scope = "wallet:read"

    @extend_schema(operation_id="invoices_get", responses=InvoiceDetailOut)
    def get(self, request: Request, public_id: UUID) -> Response:
        """Return one invoice with a line for each job and each correction."""
        invoice = _own_invoice(request, public_id)
        lines = invoice.lines.select_related("order__job").order_by("id")
        return Response({**InvoiceOut(invoice).data, "lines": InvoiceLineOut(lines, many=True).data})


class InvoicePdf(APIView):
    required_scope = "wallet:read"
    renderer_classes = [JSONRenderer, PdfRenderer]

    @extend_schema(operation_id="invoices_pdf", responses={(200, "application/pdf"): OpenApiTypes.BINARY})
    def get(self, request: Request, public_id: UUID) -> HttpResponse:
        """Return one invoice as PDF: the same bytes each time."""
        invoice = _own_invoice(request, public_id)
        paper, name = invoice_paper.render(invoice), invoice_paper.file_name(invoice)
        return download(paper, filename=name, content_type="application/pdf")

    def handle_exception(self, error: Exception) -> Response:
        """Answer errors as JSON in the API's usual form, whatever type the client asked for."""
        response = super().handle_exception(error)
        self.request.accepted_renderer, self.request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return response


def _own_invoice(request: Request, public_id: UUID) -> Invoice:
    """Return the invoice if it belongs to the key's organization. Raises NotFound."""
    rows = Invoice.objects.filter(organization=organization_of(request)).select_related("organization")
    invoice = rows.filter(public_id=public_id).first()
    if invoice is None:
        raise NotFound("No such invoice.", invoice=str(public_id))
    return invoice
