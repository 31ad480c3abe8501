"""Worked examples of settlement. The market: 0.10 for a compute-hour, of which 70 % are the owner's."""

from datetime import UTC, datetime

import pytest
from django.db import connection

from accounts.models import OwnerPolicy
from billing.ledger import posting
from billing.models import EarningsDay, LedgerTransfer, RatedUsage, SpendDay
from billing.orders.closing import close_orders
from billing.orders.settlement import settle_usage
from billing.wallet import wallets
from tests.billing.helpers import HOUR_MS, Market, end_job, make_job, make_market, make_usage, order, sqlstate_of
from tests.database import execute, unguarded

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


COLUMNS = "(usage_id, order_id, charged_micro, owner_micro, platform_micro, energy_cost_nano, wear_nano)"


@pytest.fixture
def market() -> Market:
    return make_market()


def payable(node) -> int:
    account = posting.payable(node.vehicle.owner, "USD")
    account.refresh_from_db()
    return account.balance_micro


def balance(kind: str) -> int:
    account = posting.platform(kind, "USD")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(sum(CASE WHEN debit_id = %s THEN amount_micro ELSE -amount_micro END), 0)"
            " FROM billing_ledgertransfer WHERE %s IN (debit_id, credit_id)",
            [account.pk, account.pk],
        )
        return account.side * int(cursor.fetchone()[0])


def verified_at(at: datetime) -> None:
    """Change the time of the last usage, which no rule allows: only a session with the role of a replica can."""
    with unguarded():
        execute(
            "UPDATE compute_usagerecord SET created_at = %s WHERE id = (SELECT max(id) FROM compute_usagerecord)", at
        )


def test_an_hour_of_work_costs_ten_cents_of_which_the_owner_gets_seven(market):
    paid = order(market.organization)
    make_usage(paid.job, market.nodes[0], compute_ms=HOUR_MS)
    assert settle_usage() == 1
    paid.refresh_from_db()
    assert paid.charged_micro == 100_000
    assert payable(market.nodes[0]) == 70_000
    assert balance("revenue") == 30_000
    assert wallets.summary(market.organization).held_micro == paid.held_micro - 100_000
    assert posting.recompute() == []


def test_energy_is_paid_on_to_the_owner_in_full():
    """0.015 kWh at 0.20 a kWh cost the customer 0.003 more, and all of it is the owner's."""
    market = make_market(price_micro_per_kwh=200_000)
    paid = order(market.organization)
    first = make_usage(paid.job, market.nodes[0], energy_mwh=15_000)
    make_usage(paid.job, market.nodes[1], energy_mwh=30_000, copy_of=first)
    settle_usage()
    paid.refresh_from_db()
    assert paid.charged_micro == 103_000
    assert (payable(market.nodes[0]), payable(market.nodes[1])) == (73_000, 76_000)
    assert (balance("revenue"), balance("verification")) == (30_000, 76_000)
    assert posting.recompute() == []


def test_a_transfer_is_of_one_month_and_as_old_as_its_last_work(market):
    """An hour verified at the end of October and two in November make two transfers to the owner, two to revenue."""
    paid = order(market.organization)
    times = [
        datetime(2026, 10, 31, 23, 59, 59, 999_999, UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 1, 2, tzinfo=UTC),
    ]
    for at in times:
        make_usage(paid.job, market.nodes[0], energy_mwh=15_000)
        verified_at(at)
    settle_usage()
    settled = LedgerTransfer.objects.filter(idempotency_key__startswith=f"settle:{paid.pk}:").order_by(
        "kind", "effective_at"
    )
    assert list(settled.values_list("kind", "amount_micro", "effective_at")) == [
        ("revenue", 30_000, times[0]),
        ("revenue", 60_000, times[2]),
        ("share", 70_000, times[0]),
        ("share", 140_000, times[2]),
    ]
    days = EarningsDay.objects.order_by("day").values_list(
        "day", "attempts", "compute_ms", "energy_mwh", "gross_micro", "wear_nano"
    )
    assert list(days) == [
        (times[0].date(), 1, HOUR_MS, 15_000, 70_000, 900_000),
        (times[1].date(), 2, 2 * HOUR_MS, 30_000, 140_000, 1_800_000),
    ]
    spent = SpendDay.objects.order_by("day").values_list("artifact", "units", "items", "charged_micro")
    assert list(spent) == [(paid.job.artifact_id, 1, 1, 100_000), (paid.job.artifact_id, 2, 2, 200_000)]
    assert posting.recompute() == []


def test_days_are_added_to_batch_by_batch_and_copies_cost_the_customer_nothing(market):
    paid = order(market.organization)
    first = make_usage(paid.job, market.nodes[0])
    make_usage(paid.job, market.nodes[0])
    make_usage(paid.job, market.nodes[1], copy_of=first)
    assert [settle_usage(limit=1) for _ in range(4)] == [1, 1, 1, 0]
    earned = dict(EarningsDay.objects.values_list("vehicle_id", "gross_micro"))
    assert earned == {market.nodes[0].vehicle_id: 140_000, market.nodes[1].vehicle_id: 70_000}
    assert SpendDay.objects.values_list("units", "compute_ms", "charged_micro").get() == (2, 2 * HOUR_MS, 200_000)


def test_a_copy_that_checked_the_work_is_paid_by_the_platform(market):
    """Two owners run the same unit: the customer pays for one, the platform pays the other owner the same 7 cents."""
    paid = order(market.organization)
    first = make_usage(paid.job, market.nodes[0])
    make_usage(paid.job, market.nodes[1], copy_of=first)
    assert settle_usage() == 2
    paid.refresh_from_db()
    assert paid.charged_micro == 100_000
    assert payable(market.nodes[0]) == payable(market.nodes[1]) == 70_000
    assert (balance("revenue"), balance("verification")) == (30_000, 70_000)
    copy = RatedUsage.objects.get(usage__is_canonical=False)
    assert (copy.charged_micro, copy.owner_micro, copy.platform_micro) == (0, 70_000, -70_000)
    assert posting.recompute() == []


def test_an_owner_keeps_what_is_left_after_energy_and_wear(market):
    """0.015 kWh in the hour, at 0.18 (energy) and 0.06 (wear) a kWh, cost the owner 0.0027 + 0.0009 of the 0.07."""
    paid = order(market.organization)
    make_usage(paid.job, market.nodes[0], energy_mwh=15_000)
    settle_usage()
    rated = RatedUsage.objects.get()
    assert (rated.energy_cost_nano, rated.wear_nano, rated.net_micro) == (2_700_000, 900_000, 66_400)


def test_costs_are_those_of_the_policy_when_it_is_settled(market):
    paid = order(market.organization)
    make_usage(paid.job, market.nodes[0], energy_mwh=1_000_000)
    OwnerPolicy.objects.filter(vehicle=market.nodes[0].vehicle).update(tariff_micro_per_kwh=300_100)
    settle_usage()
    OwnerPolicy.objects.filter(vehicle=market.nodes[0].vehicle).update(tariff_micro_per_kwh=1)
    assert RatedUsage.objects.get().energy_cost_nano == 300_100_000


def test_the_customer_never_pays_more_than_is_held_and_the_owner_is_paid_in_full(market):
    """With a cap of 0.15, the first hour is charged 0.10, and the second 0.05, which is less than the owner's 0.07.

    So the platform takes the 0.05 as revenue and pays the 0.07 itself.
    """
    paid = order(market.organization, cap_micro=150_000)
    for _ in range(2):
        make_usage(paid.job, market.nodes[0])
    settle_usage()
    paid.refresh_from_db()
    assert (paid.held_micro, paid.charged_micro) == (150_000, 150_000)
    assert payable(market.nodes[0]) == 140_000
    assert (balance("revenue"), balance("verification")) == (80_000, 70_000)
    assert posting.recompute() == []


def test_what_is_left_of_the_hold_pays_the_owner_first(market):
    """With a cap of 0.18, 0.08 is left for the second hour: it covers the owner's 0.07, and the platform gets 0.01."""
    paid = order(market.organization, cap_micro=180_000)
    for _ in range(2):
        make_usage(paid.job, market.nodes[0])
    settle_usage()
    assert (balance("revenue"), balance("verification")) == (40_000, 0)
    assert posting.recompute() == []


def test_the_cap_holds_across_batches(market):
    paid = order(market.organization, cap_micro=150_000)
    for _ in range(4):
        make_usage(paid.job, market.nodes[0])
    assert [settle_usage(limit=1) for _ in range(5)] == [1, 1, 1, 1, 0]
    paid.refresh_from_db()
    assert paid.charged_micro == 150_000
    assert payable(market.nodes[0]) == 280_000
    assert posting.recompute() == []


def test_one_payment_for_an_owner_and_one_of_revenue_for_an_order_in_a_batch(market):
    """Three units by two owners make two payments and one transfer of revenue, each the sum of its rows."""
    paid = order(market.organization)
    for node in (market.nodes[0], market.nodes[0], market.nodes[1]):
        make_usage(paid.job, node, compute_ms=1_001)
    settle_usage()
    settled = LedgerTransfer.objects.filter(idempotency_key__startswith=f"settle:{paid.pk}:")
    assert sorted(settled.values_list("kind", flat=True)) == ["revenue", "share", "share"]
    # 1,001 ms at 0.10 an hour are 27.8 micro: 28, and 70 % of it rounded down: 19.
    assert sorted(settled.values_list("amount_micro", flat=True)) == [19, 27, 38]
    assert posting.recompute() == []


def test_settling_twice_does_nothing(market):
    paid = order(market.organization)
    make_usage(paid.job, market.nodes[0])
    assert (settle_usage(), settle_usage()) == (1, 0)
    assert RatedUsage.objects.count() == 1


def test_usage_that_costs_nothing_moves_nothing(market):
    paid = order(market.organization)
    make_usage(paid.job, market.nodes[0], compute_ms=0)
    before = LedgerTransfer.objects.count()
    assert settle_usage() == 1
    assert LedgerTransfer.objects.count() == before
    assert RatedUsage.objects.get().owner_transfer is None
    assert posting.recompute() == []


def test_usage_after_closing_is_the_platforms_to_pay(market):
    paid = order(market.organization)
    end_job(paid.job)
    assert close_orders() == 1
    make_usage(paid.job, market.nodes[0])
    assert settle_usage() == 1
    assert payable(market.nodes[0]) == 70_000
    assert wallets.summary(market.organization).balance_micro == 10_000_000
    assert posting.recompute() == []


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("UPDATE billing_ratedusage SET owner_micro = owner_micro + 1", "DW002"),
        ("UPDATE billing_ratedusage SET energy_cost_nano = 0", "DW002"),
        ("DELETE FROM billing_ratedusage", "DW002"),
        ("TRUNCATE billing_ratedusage CASCADE", "DW002"),
        ("UPDATE compute_usagerecord SET settled_at = NULL", "DW002"),
        (
            f"INSERT INTO billing_ratedusage {COLUMNS} SELECT id, %(order)s, 5, 3, 1, 0, 0 FROM compute_usagerecord",
            "23514",
        ),
        (
            f"INSERT INTO billing_ratedusage {COLUMNS} SELECT id, %(order)s, 5, 3, 2, 0, 0 FROM compute_usagerecord",
            "23514",
        ),
        (
            f"INSERT INTO billing_ratedusage {COLUMNS} SELECT id, %(order)s, 5, 0, 5, 0, 0 FROM compute_usagerecord",
            "23505",
        ),
    ],
)
def test_rated_usage_cannot_be_edited_nor_rated_twice(market, sql, sqlstate):
    paid = order(market.organization)
    make_usage(paid.job, market.nodes[0])
    settle_usage()
    assert sqlstate_of(sql, {"order": paid.pk}) == sqlstate


def test_usage_that_nobody_ordered_waits_and_is_reported(market):
    usage = make_usage(make_job(market.organization), market.nodes[0])
    assert settle_usage() == 0
    assert [difference.subject for difference in posting.recompute()] == [f"usage {usage.pk}"]
