from datetime import timedelta

import pytest

from billing.earnings.totals import earnings_by_owner, earnings_by_vehicle
from billing.orders.settlement import settle_usage
from compute.models import UsageRecord
from tests.billing.helpers import HOUR_MS, add_node, make_market, make_usage, order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


@pytest.fixture
def market():
    """Alice's two cars worked an hour each, with 0.015 kWh; Bob's car half an hour."""
    market = make_market()
    placed = order(market.organization, items=36_000)
    alice, bob = market.nodes
    market.nodes.append(add_node(alice.vehicle.owner, market.hardware_class))
    for node, compute_ms in [(alice, HOUR_MS), (market.nodes[2], HOUR_MS), (bob, HOUR_MS // 2)]:
        make_usage(placed.job, node, compute_ms=compute_ms, energy_mwh=15_000)
    settle_usage()
    return market


def test_by_owner(market):
    alice, bob = earnings_by_owner()
    assert (alice.owner_id, alice.vehicle_id, alice.attempts) == (market.nodes[0].vehicle.owner_id, None, 2)
    assert (alice.gross_micro, alice.energy_cost_micro, alice.wear_micro) == (140_000, 5_400, 1_800)
    assert (alice.net_micro, alice.compute_ms, alice.energy_mwh) == (132_800, 7_200_000, 30_000)
    assert (bob.gross_micro, bob.currency) == (35_000, "USD")


def test_by_vehicle(market):
    rows = earnings_by_vehicle([market.nodes[0].vehicle.owner])
    assert [row.gross_micro for row in rows] == [70_000, 70_000]
    assert {row.vehicle_id for row in rows} == {market.nodes[0].vehicle_id, market.nodes[2].vehicle_id}


def test_in_a_period(market):
    today = UsageRecord.objects.latest("id").created_at.date()
    assert earnings_by_owner(since=today + timedelta(days=1)) == []
    assert earnings_by_owner(until=today) == []
    assert len(earnings_by_owner(since=today, until=today + timedelta(days=1))) == 2
    assert earnings_by_owner([]) == []
