"""A statement on its page and as PDF: every line, and sums that add up as they are shown."""

import io
from datetime import date

import pytest
from django.test import Client
from django.urls import reverse
from pypdf import PdfReader

from billing.documents import statement as paper
from billing.models import Statement
from billing.statements import selectors as statement_selectors
from tests import factories
from tests.billing.payouts.helpers import make_payout

pytestmark = pytest.mark.django_db


@pytest.fixture
def statement() -> Statement:
    car = factories.make_vehicle()
    work = {"kind": "work", "vehicle": car, "service_month": date(2026, 10, 1), "attempts": 2, "compute_ms": 1000}
    lines = [
        {**work, "amount_micro": 3_000_001, "energy_cost_nano": 1_400, "wear_nano": 500},
        {
            **work,
            "amount_micro": 2_000_000,
            "energy_cost_nano": 1_400,
            "service_month": date(2026, 9, 1),
            "is_late": True,
        },
        {**work, "kind": "check", "amount_micro": 999_999, "energy_cost_nano": 1_400},
        {"kind": "correction", "service_month": date(2026, 9, 1), "amount_micro": -500_000, "note": "A wrong result"},
    ]
    return factories.make_statement(
        car.owner,
        lines=lines,
        number=7,
        opening_micro=4,
        earned_micro=6_000_000,
        corrected_micro=-500_000,
        carried_micro=5_500_004,
    )


def test_sums(statement: Statement) -> None:
    shown = statement_selectors.detail(statement)
    *parts, (_, carried) = shown.sums()
    assert sum(micro for _, micro in parts) == carried == 5_500_004
    assert ("Checking others’ work", 999_999) in parts
    assert [line.energy_micro for line in shown.work] == [
        1,
        2,
        1,
    ]  # cumulative 1.4, 2.8 and 4.2, each rounded: 1, 3 and 4
    assert shown.work_total.net_micro == 6_000_000 - 4 - 0


def test_page(client: Client, statement: Statement) -> None:
    client.force_login(statement.owner.user)
    page = client.get(reverse("statement_detail", args=[statement.public_id])).content.decode()
    for words in (
        "Statement 7",
        "$3.000001",
        "Late",
        "September 2026",
        "A wrong result",
        "-$0.50",
        "$5.500004",
        "driveway-verify",
        "No payout belongs to this statement.",
    ):
        assert words in page
    listed = client.get(reverse("statement_list")).content.decode()
    assert "No. 7" in listed
    client.force_login(factories.make_owner().user)
    for name in ("statement_detail", "statement_pdf"):
        assert client.get(reverse(name, args=[statement.public_id])).status_code == 404
    assert "No statement yet" in client.get(reverse("statement_list")).content.decode()


def test_payout_on_the_page(client: Client) -> None:
    payout = make_payout(factories.make_owner())
    client.force_login(payout.owner.user)
    page = client.get(reverse("statement_detail", args=[payout.statement.public_id])).content.decode()
    assert "$25.00" in page
    assert "Scheduled" in page


def test_paper(client: Client, statement: Statement) -> None:
    client.force_login(statement.owner.user)
    answer = client.get(reverse("statement_pdf", args=[statement.public_id]))
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages)
    for words in ("Statement", "No. 7", "$3.000001", "(late)", "A wrong result", "$5.500004", "Checking others’ work"):
        assert words in text
    assert paper.render(statement) == answer.content
