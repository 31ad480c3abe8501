"""Invoices and receipts as customers read them: PDF, pages, API."""

import io

import pytest
from django.urls import reverse
from pypdf import PdfReader

from accounts.models import Membership
from billing.documents import invoice as invoice_pdf
from billing.models import BillingProfile, CardTopUp, Invoice, InvoiceLine
from tests import factories
from tests.billing.helpers import give_credit, make_market, order
from tests.billing.invoices.helpers import close, take_back, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return make_market(price_micro_per_kwh=200_000)


@pytest.fixture
def reader(market, client_of):
    """A client of a member who may read but not move money."""
    user = factories.make_user()
    Membership.objects.create(organization=market.organization, user=user, role="developer")
    return client_of(user)


def text_of(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split())


def number(invoice) -> str:
    return f"{str(invoice.organization.public_id)[:8].upper()}-{invoice.number:04d}"


def test_an_invoice_says_who_what_and_that_it_is_paid(market, settings):
    settings.SELLER_NAME, settings.SELLER_ADDRESS, settings.SELLER_TAX_ID = "Driveway Inc.", "9 Kerb Street", "US-99"
    BillingProfile.objects.create(
        organization=market.organization, legal_name="Žižka & Søn", address="1 High Street", tax_id="DK7"
    )
    give_credit(market.organization, 60_000)
    placed = order(market.organization)
    work(market, placed, energy_mwh=15_000)
    take_back(work(market))
    close()
    invoice = Invoice.objects.get()
    pdf = invoice_pdf.render(invoice)
    assert pdf == invoice_pdf.render(Invoice.objects.get())
    text = text_of(pdf)
    for part in (
        number(invoice),
        "Driveway Inc. 9 Kerb Street Tax ID US-99",
        "Žižka & Søn 1 High Street Tax ID DK7",
        f"model {placed.job.public_id} 1 1 h 0 min",
        "1 h 0 min",
        "15.0 Wh",
        "$0.10 / h",
        "$0.20 / kWh",
        "$0.103000",
        "Charge given back: model",
        "-$0.10",
        "Verified work $0.203000",
        "Corrections -$0.10",
        "Total $0.103000",
        "Paid by promotional credit $0.06",
        "Paid from the wallet $0.143000",
        "Given back to the wallet -$0.10",
        "Amount due $0.00",
        "Paid from the prepaid wallet. Nothing is due.",
        "Page 1 of 1",
    ):
        assert part in text, part


def test_an_invoice_of_many_jobs_runs_over_pages(market):
    work(market)
    close()
    invoice = Invoice.objects.get()
    InvoiceLine.objects.bulk_create(
        InvoiceLine(invoice=invoice, kind="work", description=f"Model {index}", amount_micro=1) for index in range(400)
    )
    pages = PdfReader(io.BytesIO(invoice_pdf.render(invoice))).pages
    assert len(pages) > 5
    assert all("Compute time" in page.extract_text() for page in pages[:-1])


def test_pages(market, reader):
    assert "No invoice yet" in reader.get("/invoices/").content.decode()
    work(market)
    close()
    invoice = Invoice.objects.get()
    listed = reader.get("/invoices/").content.decode()
    assert number(invoice) in listed
    page = reader.get(f"/invoices/{invoice.public_id}").content.decode()
    assert "Amount due" in page
    assert f"/jobs/{invoice.lines.get().order.job.public_id}" in page
    answer = reader.get(f"/invoices/{invoice.public_id}.pdf")
    assert (answer["Content-Type"], answer.content[:5]) == ("application/pdf", b"%PDF-")
    assert answer["Content-Disposition"] == f'attachment; filename="invoice-{number(invoice)}.pdf"'


def test_the_api_lists_them_with_lines_and_as_pdf(market, client):
    placed = order(market.organization)
    usage = work(market, placed, energy_mwh=15_000)
    close()
    take_back(usage)
    close()
    first, second = Invoice.objects.order_by("number")
    headers = {"Authorization": f"Bearer {factories.make_key(market.organization)[1]}"}
    listed = client.get("/api/v1/invoices?limit=1", headers=headers).json()
    assert [row["id"] for row in listed["results"]] == [str(second.public_id)]
    (again,) = client.get(listed["next"], headers=headers).json()["results"]
    assert (again["number"], again["total_micro"], again["customer_name"]) == (
        number(first),
        103_000,
        market.organization.name,
    )
    detail = client.get(f"/api/v1/invoices/{first.public_id}", headers=headers).json()
    assert detail["lines"] == [
        {
            "kind": "work",
            "job": str(placed.job.public_id),
            "description": "model",
            "items": 1,
            "compute_ms": 3_600_000,
            "energy_mwh": 15_000,
            "price_micro_per_hour": 100_000,
            "price_micro_per_kwh": 200_000,
            "amount_micro": 103_000,
        }
    ]
    for accept in ("*/*", "application/pdf", "application/json"):
        answer = client.get(f"/api/v1/invoices/{first.public_id}.pdf", headers={**headers, "Accept": accept})
        assert (answer.status_code, answer.content) == (200, invoice_pdf.render(first))
    refused = client.get(f"/api/v1/invoices/{first.public_id}.pdf", headers={"Accept": "application/pdf"})
    assert (refused.status_code, refused["Content-Type"]) == (401, "application/json")
    InvoiceLine.objects.create(invoice=second, kind="correction", description="x", amount_micro=0)
    lines = client.get(f"/api/v1/invoices/{second.public_id}", headers=headers).json()["lines"]
    assert [line["job"] for line in lines] == [str(placed.job.public_id), None]


def test_a_receipt_of_a_paid_top_up(market, reader):
    row = factories.make_card_top_up(market.organization)
    address = reverse("top_up_receipt", args=[row.public_id])
    assert reader.get(address).status_code == 404
    assert "Receipt" not in reader.get(reverse("top_up_pay", args=[row.public_id])).content.decode()
    paid = factories.make_paid_top_up(market.organization, 12_340_000)
    page = reader.get(reverse("top_up_pay", args=[paid.public_id])).content.decode()
    address = reverse("top_up_receipt", args=[paid.public_id])
    assert address in page
    text = text_of(reader.get(address).content)
    for part in (
        "Receipt",
        "Received $12.34",
        paid.payment_intent_id,
        "Card, through Stripe",
        market.organization.name,
    ):
        assert part in text, part
    assert CardTopUp.objects.get(pk=paid.pk).status == "paid"


def test_a_receipt_of_a_refund_that_was_made(market, reader):
    row = factories.make_refund_done(market.organization)
    factories.make_card_lot(market.organization, 5_000_000)
    answer = reader.get(reverse("refund_receipt", args=[row.public_id]))
    text = text_of(answer.content)
    assert all(part in text for part in ("Refund receipt", "Refunded $20.00", row.stripe_id))
    pending = factories.make_refund(market.organization, 5_000_000)
    assert reader.get(reverse("refund_receipt", args=[pending.public_id])).status_code == 404
