"""For any history, with closings at any time and several at once, each charge is on one invoice or on none yet."""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ledger import posting
from billing.models import Invoice, InvoiceEntry, LedgerTransfer, RatedUsage
from billing.orders import voids
from billing.orders.closing import close_orders
from billing.orders.settlement import settle_usage
from core.errors import DomainError
from tests.billing.helpers import end_job, give_credit, make_market, make_usage, order, sqlstate_of
from tests.billing.invoices.helpers import backdate, charges, close, take_back, work
from tests.long import examples
from tests.threads import at_once

steps = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from([None, 50_000, 150_000])),
        st.tuples(st.just("work"), st.integers(0, 9)),
        st.tuples(st.just("late"), st.integers(0, 9)),
        st.tuples(st.just("settle"), st.sampled_from([1, 100])),
        st.tuples(st.just("void"), st.integers(0, 9)),
        st.tuples(st.just("credit"), st.integers(1, 100_000)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("close"), st.sampled_from([0, 3600, 86_400])),
    ),
    max_size=25,
)


class History:
    """A market in which hypothesis takes the steps; each method is a step."""

    def __init__(self) -> None:
        self.market = make_market(price=97_531, share=613, price_micro_per_kwh=199_933)
        self.orders = [order(self.market.organization)]
        self.credit = 0

    def order(self, cap) -> None:
        with suppress(DomainError):
            self.orders.append(order(self.market.organization, cap_micro=cap))

    def work(self, index: int):
        return make_usage(self.orders[index % len(self.orders)].job, self.market.nodes[index % 2], compute_ms=1_234_567)

    def late(self, index: int) -> None:
        backdate(self.work(index), timezone.now() - timedelta(hours=index * 3))

    def settle(self, limit: int) -> None:
        settle_usage(limit=limit)

    def void(self, index: int) -> None:
        rated = list(RatedUsage.objects.order_by("id"))
        if rated:
            voids.void(rated=rated[index % len(rated)], reason="x", actor=None)
            voids.settle_voids()

    def credit_of(self, micro: int) -> None:
        give_credit(self.market.organization, micro)

    def end(self, index: int) -> None:
        job = self.orders[index % len(self.orders)].job
        with suppress(Exception):
            end_job(job)
        close_orders()

    def close(self, seconds: int) -> None:
        close(seconds)


def check(organization, *, whole: bool) -> None:
    """Check the organization's invoices against its charges; if `whole`, every charge must be on one."""
    expected = charges(organization)
    entries = dict(
        InvoiceEntry.objects.filter(invoice__organization=organization).values_list("transfer", "amount_micro")
    )
    assert entries.items() <= expected.items()
    assert not whole or entries == expected
    invoices = list(Invoice.objects.filter(organization=organization).order_by("number"))
    assert [invoice.number for invoice in invoices] == list(range(1, len(invoices) + 1))
    for before, after in pairwise(invoices):
        assert before.period_end_at == after.period_start_at
    for invoice in invoices:
        entries_of_invoice = list(invoice.entries.all())
        assert entries_of_invoice
        assert invoice.total_micro == sum(entry.amount_micro for entry in entries_of_invoice)
        assert invoice.total_micro == sum(line.amount_micro for line in invoice.lines.all())
        assert all(entry.transfer.effective_at < invoice.period_end_at for entry in entries_of_invoice)
    if whole:  # the lines show all charged work, and promotional credit paid what the orders held of it
        rated = RatedUsage.objects.filter(order__organization=organization, charged_micro__gt=0)
        shown = sum(line.compute_ms for invoice in invoices for line in invoice.lines.all())
        assert shown == sum(row.usage.compute_ms for row in rated)
        orders = {row.order_id: row.order for row in rated}.values()
        assert sum(invoice.promo_micro for invoice in invoices) == sum(
            min(placed.held_promo_micro, placed.charged_micro) for placed in orders
        )
    assert posting.recompute() == []


@pytest.mark.django_db
@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=steps)
def test_every_charge_is_on_one_invoice_or_on_none_yet(db, story):
    history = History()
    for name, argument in story:
        (history.credit_of if name == "credit" else getattr(history, name))(argument)
    check(history.market.organization, whole=False)
    settle_usage()
    close()
    check(history.market.organization, whole=True)


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_closings_settlements_and_voids_at_once():
    """Three threads close while others settle and void: no charge is invoiced twice or lost, no number is missing."""
    markets = [make_market(), make_market()]
    usage = [work(market) for market in markets for _ in range(3)]
    for market in markets:
        for _ in range(20):
            make_usage(order(market.organization, items=36).job, market.nodes[0], compute_ms=36_000)

    def act(index: int) -> int:
        for step in range(4):
            if index < 3:
                close()
            elif index < 5:
                settle_usage(limit=5)
            elif step < 3:
                take_back(usage[step + 3 * (index - 5)])
        return 0

    assert Counter(map(str, at_once(7, act))) == {"0": 7}
    settle_usage()
    close()
    for market in markets:
        check(market.organization, whole=True)


ENTRY = "INSERT INTO billing_invoiceentry (invoice_id, transfer_id, amount_micro) SELECT %s, {}, {} FROM billing_ledgertransfer t"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("transfer", "amount", "where"),
    [
        ("t.id", "-t.amount_micro", "t.kind = 'share'"),  # as if it gave a charge back
        ("t.id", "t.amount_micro + 1", "t.kind = 'share'"),
        ("t.id", "t.amount_micro", "t.kind IN ('hold', 'release', 'top_up')"),  # charges nothing
        ("t.id", "t.amount_micro", "t.kind = 'correction'"),  # gives a charge back, so its amount is negative
        ("t.id", "0", "t.kind = 'revenue'"),
    ],
)
def test_the_database_refuses_what_is_no_charge(transfer, amount, where):
    """Raw SQL cannot add wrong entries, nor a right one of another customer, nor change what is stored."""
    market, other = make_market(), make_market()
    work(market)
    close()
    work(other)
    take_back(work(market))
    invoice = Invoice.objects.get()
    free = "NOT EXISTS (SELECT FROM billing_invoiceentry e WHERE e.transfer_id = t.id)"
    mine = "SELECT id FROM billing_ledgeraccount WHERE organization_id = %s"
    sql = f"{ENTRY.format(transfer, amount)} WHERE {free} AND {where} AND (t.debit_id IN ({mine}) OR t.credit_id IN ({mine})) LIMIT 1"
    assert sqlstate_of(sql, [invoice.pk, *[market.organization.pk] * 2]) == "DW007"
    theirs = LedgerTransfer.objects.filter(kind="share", debit__organization=other.organization).get()
    assert sqlstate_of(f"{ENTRY.format('t.id', 't.amount_micro')} WHERE t.id = {theirs.pk}", [invoice.pk]) == "DW007"
    for change in (
        "UPDATE billing_invoiceentry SET amount_micro = 0",
        "DELETE FROM billing_invoice",
        "UPDATE billing_invoice SET number = 9",
    ):
        assert sqlstate_of(change) == "DW002"
