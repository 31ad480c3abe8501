"""Invoices: each charge on exactly one, late or not; what an invoice shows, and who gets a mail about it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.mails import outbox
from accounts.models import Mail, Membership
from billing import periods
from billing.invoices import invoices
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import BillingProfile, Invoice, InvoiceEntry, LedgerAccount
from billing.orders.settlement import settle_usage
from billing.tasks import close_invoices
from core.errors import InvalidInput
from tests import factories
from tests.billing.helpers import (
    give_credit,
    make_card,
    make_job,
    make_market,
    make_organization,
    make_usage,
    order,
    top_up,
)
from tests.billing.invoices.helpers import backdate, charges, close, take_back, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return make_market(price_micro_per_kwh=200_000)


def lines(invoice):
    return [
        (line.kind, line.order_id, line.description, line.items, line.compute_ms, line.energy_mwh, line.amount_micro)
        for line in invoice.lines.order_by("id")
    ]


def test_an_invoice_shows_each_job_once_and_adds_up(market):
    first, second = order(market.organization), order(market.organization, cap_micro=400_000)
    work(market, first, energy_mwh=15_000)
    work(market, second)
    work(market, second, node=1, hours=0.5)
    assert [close(), close()] == [1, 0]
    (invoice,) = Invoice.objects.all()
    assert (invoice.number, invoice.charged_micro, invoice.corrected_micro, invoice.promo_micro) == (1, 253_000, 0, 0)
    assert lines(invoice) == [
        ("work", first.pk, "model", 1, 3_600_000, 15_000, 103_000),
        ("work", second.pk, "model", 2, 5_400_000, 0, 150_000),
    ]
    assert set(invoice.lines.values_list("price_micro_per_hour", "price_micro_per_kwh")) == {(100_000, 200_000)}
    assert dict(invoice.entries.values_list("transfer", "amount_micro")) == charges(market.organization)
    assert invoice.period_start_at == min(entry.transfer.effective_at for entry in invoice.entries.all())
    assert (invoice.customer_name, invoice.customer_address) == (market.organization.name, "")
    assert posting.recompute() == []


def test_late_work_is_on_the_next_invoice_and_numbers_have_no_gaps(market):
    """Work verified before the first invoice's end and settled after it is on the next one, with its own period."""
    work(market)
    late = make_usage(order(market.organization).job, market.nodes[0])
    assert close() == 1
    settle_usage()
    assert close() == 1
    one, two = Invoice.objects.order_by("number")
    assert (one.number, two.number, two.period_start_at) == (1, 2, one.period_end_at)
    assert late.created_at < one.period_end_at
    assert two.total_micro == 100_000
    assert close() == 0  # nothing since: no invoice, no number
    assert posting.recompute() == []


def test_what_took_effect_after_the_end_waits_for_the_next(market):
    usage = make_usage(order(market.organization).job, market.nodes[0])
    backdate(usage, timezone.now() - timedelta(days=3))
    settle_usage()
    work(market)
    assert close(3600) == 1
    assert close(3600) == 0
    assert close(7200) == 0  # before the end of the last one
    assert Invoice.objects.get().total_micro == 100_000
    assert close() == 1
    assert sum(Invoice.objects.values_list("total_micro", flat=True)) == 200_000


def test_a_record_between_two_periods_is_counted_once(market):
    """The owner's and the platform's share of an order's work may take effect in different periods.

    The platform's 30 % of both records take effect with the later one, so the first invoice has only the owner's 70 %.
    """
    placed = order(market.organization, cap_micro=400_000)
    early, late = (make_usage(placed.job, market.nodes[index]) for index in (0, 1))
    now = timezone.now()
    backdate(early, now.replace(day=1, hour=0) - timedelta(days=3, hours=2))
    backdate(late, now.replace(day=1, hour=0) - timedelta(days=3))
    settle_usage()
    cut = now.replace(day=1, hour=0) - timedelta(days=3, hours=1)
    assert invoices.close_due(until=cut) == 1
    assert close() == 1
    one, two = Invoice.objects.order_by("number")
    assert (one.total_micro, two.total_micro) == (70_000, 130_000)
    assert [line.compute_ms for line in (one.lines.get(), two.lines.get())] == [0, 7_200_000]


def test_corrections_are_lines_of_their_own(market):
    placed = order(market.organization)
    usage = work(market, placed)
    close()
    take_back(usage)
    assert close() == 1
    invoice = Invoice.objects.latest("number")
    assert (invoice.charged_micro, invoice.corrected_micro, invoice.total_micro) == (0, -100_000, -100_000)
    assert lines(invoice) == [("correction", placed.pk, "Charge given back: model", 0, 0, 0, -100_000)]
    assert invoice.entries.count() == 1
    assert posting.recompute() == []


def test_a_correction_of_nothing_known_is_shown_too(market):
    accounts = {
        kind: posting.account(AccountName(kind=kind, currency="USD", organization_id=organization))
        for kind, organization in (("adjustment", None), ("wallet", market.organization.pk))
    }
    posting.post(
        [
            Posting(
                kind="correction",
                debit=accounts["adjustment"],
                credit=accounts["wallet"],
                amount_micro=5,
                idempotency_key="d",
            )
        ]
    )
    assert close() == 1
    assert lines(Invoice.objects.get()) == [("correction", None, "Charge given back", 0, 0, 0, -5)]


def test_promotional_credit_pays_an_orders_first_charges(market):
    """The hold has 0.06 of credit. Both invoices charge 0.05: credit pays 0.05 of the first and 0.01 of the second."""
    give_credit(market.organization, 60_000)
    placed = order(market.organization)
    assert placed.held_promo_micro == 60_000
    for _ in range(2):
        work(market, placed, hours=0.5)
        close()
    assert list(Invoice.objects.order_by("number").values_list("promo_micro", flat=True)) == [50_000, 10_000]


def test_each_currency_has_its_invoice_and_numbers_are_the_organizations(market):
    work(market)
    market.organization.currency = "EUR"
    market.organization.save()
    make_card(market.hardware_class, currency="EUR")
    top_up(market.organization, 10_000_000)
    work(market)
    assert close() == 2
    assert list(Invoice.objects.order_by("number").values_list("number", "currency")) == [(1, "EUR"), (2, "USD")]


def test_the_customer_as_it_was(market):
    profile = BillingProfile.objects.create(
        organization=market.organization, legal_name="Acme Ltd", address="1 High Street\nLeeds", tax_id="GB123"
    )
    work(market)
    close()
    profile.legal_name = "Other"
    profile.save()
    invoice = Invoice.objects.get()
    assert (invoice.customer_name, invoice.customer_address) == ("Acme Ltd", "1 High Street\nLeeds\nTax ID GB123")


def test_nobody_without_charges_gets_one(market):
    make_organization(top_up_micro=5)
    order(market.organization)  # money is held, nothing is charged
    make_job(market.organization)
    assert close() == 0


def test_many_organizations_take_a_few_statements(market, django_assert_max_num_queries, monkeypatch):
    monkeypatch.setattr(invoices, "CHUNK", 2)
    for organization in [market.organization, *(make_organization(top_up_micro=10**7) for _ in range(4))]:
        make_usage(order(organization).job, market.nodes[0])
    settle_usage()
    with django_assert_max_num_queries(30):
        assert close() == 5
    assert InvoiceEntry.objects.count() == 10


def test_people_of_money_are_told(market, mailoutbox):
    for role in ("admin", "finance", "developer"):
        Membership.objects.create(
            organization=market.organization, user=factories.make_user(f"{role}@x.com"), role=role
        )
    work(market)
    close()
    assert sorted(mail.user.email for mail in Mail.objects.all()) == ["admin@x.com", "finance@x.com"]
    outbox.send_due()
    first = mailoutbox[0]
    assert first.subject == f"{market.organization.name}: invoice 1 over $0.10"
    assert f"/invoices/{Invoice.objects.get().public_id}" in first.body


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-02T23:59:59", "2026-10-01"),
        ("2026-11-03T00:00:00", "2026-11-01"),
        ("2026-11-30T12:00:00", "2026-11-01"),
        ("2027-01-02T00:00:00", "2026-12-01"),
    ],
)
def test_a_month_is_due_after_its_grace(now, due):
    moments = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, due))
    assert periods.last_due(next(moments)) == next(moments)


def test_task_and_command(market, capsys):
    usage = make_usage(order(market.organization).job, market.nodes[0])
    backdate(usage, timezone.now() - timedelta(days=70))
    settle_usage()
    work(market)
    close_invoices()
    close_invoices()
    assert Invoice.objects.get().total_micro == 100_000
    call_command("close_invoices")
    call_command("close_invoices", until="now")
    assert capsys.readouterr().out.split() == ["0", "invoices", "1", "invoices"]
    for wrong in ("soon", "2026-13-01T00:00", "2999-01-01T00:00:00"):
        with pytest.raises(CommandError):
            call_command("close_invoices", until=wrong)
    with pytest.raises(InvalidInput):
        invoices.close_due(until=timezone.now() + timedelta(days=1))
    assert LedgerAccount.objects.filter(kind="hold").exists()
