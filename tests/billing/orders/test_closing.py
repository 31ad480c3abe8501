"""Closing orders: the rest of a hold goes back, promotional credit is used first, and nothing is closed too early."""

import pytest

from billing.ledger import posting
from billing.models import JobOrder, LedgerTransfer
from billing.orders.closing import close_orders
from billing.orders.settlement import settle_usage
from billing.wallet import wallets
from tests.billing.helpers import HOUR_MS, balance, end_job, give_credit, make_attempt, make_market, make_usage, order

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return make_market()


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_when_a_job_ends_the_rest_of_its_hold_comes_back(market, status):
    """An hour was charged 0.10, so 9.90 of 10.00 are available again."""
    placed = order(market.organization)
    make_usage(placed.job, market.nodes[0], compute_ms=HOUR_MS)
    settle_usage()
    end_job(placed.job, status)
    assert close_orders() == 1
    placed.refresh_from_db()
    assert (placed.status, placed.status_code, placed.left_micro) == ("closed", status, 0)
    assert placed.closed_at is not None
    summary = wallets.summary(market.organization)
    assert (summary.held_micro, summary.available_micro) == (0, 9_900_000)
    assert posting.recompute() == []


@pytest.mark.parametrize(
    ("compute_ms", "promo", "wallet"),
    [(0, 60_000, 10_000_000), (HOUR_MS // 2, 10_000, 10_000_000), (HOUR_MS, 0, 9_960_000)],
)
def test_charges_use_promotional_credit_up_first(market, compute_ms, promo, wallet):
    """0.30 is held, 0.06 of it credit. Charges use the credit first; the unused parts go back where they came from."""
    give_credit(market.organization, 60_000)
    placed = order(market.organization)
    assert (placed.held_micro, placed.held_promo_micro) == (300_000, 60_000)
    make_usage(placed.job, market.nodes[0], compute_ms=compute_ms)
    settle_usage()
    end_job(placed.job)
    close_orders()
    assert (balance(market.organization, "promo_wallet"), balance(market.organization, "wallet")) == (promo, wallet)
    assert balance(market.organization, "hold") == 0
    assert posting.recompute() == []


def test_closing_twice_does_nothing(market):
    placed = order(market.organization)
    end_job(placed.job)
    assert [close_orders(), close_orders()] == [1, 0]
    assert LedgerTransfer.objects.filter(kind="release").count() == 1


def test_an_order_whose_hold_is_used_up_has_nothing_to_release(market):
    placed = order(market.organization, cap_micro=100_000)
    make_usage(placed.job, market.nodes[0], compute_ms=2 * HOUR_MS)
    settle_usage()
    end_job(placed.job)
    assert close_orders() == 1
    assert not LedgerTransfer.objects.filter(kind="release").exists()
    assert posting.recompute() == []


def test_a_running_job_keeps_its_hold(market):
    order(market.organization)
    assert close_orders() == 0


def test_unsettled_usage_is_waited_for(market):
    placed = order(market.organization)
    make_usage(placed.job, market.nodes[0])
    end_job(placed.job)
    assert close_orders() == 0
    settle_usage()
    assert close_orders() == 1


@pytest.mark.parametrize("status", ["leased", "reported"])
def test_a_live_attempt_is_waited_for(market, status):
    placed = order(market.organization)
    attempt = make_attempt(placed.job, market.nodes[0])
    if status == "reported":
        type(attempt).objects.filter(pk=attempt.pk).update(status=status)
    end_job(placed.job)
    assert close_orders() == 0
    type(attempt).objects.filter(pk=attempt.pk).update(status="cancelled")
    assert close_orders() == 1


def test_many_orders_close_in_bounded_batches(market):
    for _ in range(5):
        end_job(order(market.organization, cap_micro=100_000).job)
    assert [close_orders(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert JobOrder.objects.filter(status="closed").count() == 5
    assert wallets.summary(market.organization).available_micro == 10_000_000
