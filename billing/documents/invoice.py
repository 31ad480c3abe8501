"""An invoice as a PDF: every job with its figures, and how it was paid."""

from collections.abc import Iterator

from billing.documents.amounts import exact_amount
from billing.documents.parties import seller
from billing.documents.pdf import Column, Document
from billing.invoices.invoices import number_of
from billing.models import Invoice, InvoiceLine
from billing.periods import first_day, last_day
from core import locale

PAID_NOTE = "Paid from the prepaid wallet. Nothing is due."
COLUMNS = (
    Column("Job", 5),
    Column("Items", 1.3, right=True),
    Column("Compute time", 1.7, right=True),
    Column("Energy", 1.5, right=True),
    Column("Price", 2.2, right=True),
    Column("Amount", 1.8, right=True),
)


def render(invoice: Invoice) -> bytes:
    """Return the PDF. The same invoice always gives the same bytes."""
    with locale.override(locale.DEFAULT, "UTC"):
        return _document(invoice).render()


def file_name(invoice: Invoice) -> str:
    """Return the name under which the PDF is downloaded."""
    return f"invoice-{number_of(invoice)}.pdf"


def _document(invoice: Invoice) -> Document:
    document = Document(title="Invoice", number=number_of(invoice), made_at=invoice.created_at, note=PAID_NOTE)
    document.addresses(("From", seller()), ("To", f"{invoice.customer_name}\n{invoice.customer_address}".strip()))
    document.facts(
        [
            ("Date", locale.day(invoice.created_at.date())),
            ("Period (UTC)", f"{locale.day(first_day(invoice))} to {locale.day(last_day(invoice))}"),
            ("Currency", invoice.currency),
        ]
    )
    document.grid(COLUMNS, _rows(invoice))
    document.totals(sums(invoice))
    document.totals(payment(invoice))
    document.paragraph(PAID_NOTE)
    document.paragraph(
        "Work that was verified late, and corrections, are on the first invoice after they were booked, whatever period"
        " they belong to.",
        small=True,
    )
    return document


def _rows(invoice: Invoice) -> Iterator[tuple[str, ...]]:
    lines = InvoiceLine.objects.filter(invoice=invoice).select_related("order__job").order_by("id")
    for line in lines.iterator(chunk_size=2000):
        name = f"{line.description}\n{line.order.job.public_id}" if line.order else line.description
        if line.kind == InvoiceLine.Kind.CORRECTION:
            yield name, "", "", "", "", exact_amount(line.amount_micro, invoice.currency)
            continue
        price = f"{exact_amount(line.price_micro_per_hour, invoice.currency)} / h"
        if line.price_micro_per_kwh:
            price += f"\n{exact_amount(line.price_micro_per_kwh, invoice.currency)} / kWh"
        yield (
            name,
            locale.number(line.items),
            locale.duration(line.compute_ms),
            locale.energy(line.energy_mwh),
            price,
            exact_amount(line.amount_micro, invoice.currency),
        )


def sums(invoice: Invoice) -> list[tuple[str, str]]:
    """Return the sums as (name, printed amount); the last is the total."""
    parts = [("Verified work", invoice.charged_micro)]
    if invoice.corrected_micro:
        parts.append(("Corrections", invoice.corrected_micro))
    return [(name, exact_amount(micro, invoice.currency)) for name, micro in (*parts, ("Total", invoice.total_micro))]


def payment(invoice: Invoice) -> list[tuple[str, str]]:
    """Return how the invoice was paid, as (name, printed amount); the last is the amount due, which is always zero."""
    parts = [("Paid by promotional credit", invoice.promo_micro)] if invoice.promo_micro else []
    from_wallet = invoice.charged_micro - invoice.promo_micro
    if from_wallet:
        parts.append(("Paid from the wallet", from_wallet))
    if invoice.corrected_micro:
        parts.append(("Given back to the wallet", invoice.corrected_micro))
    return [(name, exact_amount(micro, invoice.currency)) for name, micro in (*parts, ("Amount due", 0))]
