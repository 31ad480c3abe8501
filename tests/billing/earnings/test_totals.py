"""Totals of earnings, from settled usage: of an owner, by vehicle, in a period."""

from datetime import timedelta

import pytest

from billing.earnings import selectors as earnings
from billing.orders.settlement import settle_usage
from compute.models import UsageRecord
from tests.billing.helpers import HOUR_MS, add_node, make_market, make_usage, order
from tests.factories import make_owner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


@pytest.fixture
def market():
    """Alice's two vehicles worked an hour each, Bob's vehicle half an hour; each attempt used 0.015 kWh."""
    market = make_market()
    placed = order(market.organization, items=36_000)
    alice, bob = market.nodes
    market.nodes.append(add_node(alice.vehicle.owner, market.hardware_class))
    for node, compute_ms in [(alice, HOUR_MS), (market.nodes[2], HOUR_MS), (bob, HOUR_MS // 2)]:
        make_usage(placed.job, node, compute_ms=compute_ms, energy_mwh=15_000)
    settle_usage()
    return market


def test_of_an_owner(market):
    alice, bob = (earnings.lifetime_total(node.vehicle.owner) for node in market.nodes[:2])
    assert (alice.key, alice.attempts) == (None, 2)
    assert (alice.gross_micro, alice.energy_micro, alice.wear_micro) == (140_000, 5_400, 1_800)
    assert (alice.net_micro, alice.compute_ms, alice.energy_mwh) == (132_800, 7_200_000, 30_000)
    assert (bob.gross_micro, earnings.currencies(market.nodes[1].vehicle.owner)) == (35_000, ["USD"])


def test_by_vehicle(market):
    first, owner = market.nodes[0].vehicle, market.nodes[0].vehicle.owner
    rows = earnings.vehicles(owner)
    assert [row.gross_micro for row in rows] == [70_000, 70_000]
    assert {row.key.pk for row in rows} == {first.pk, market.nodes[2].vehicle_id}
    assert (earnings.vehicle_total(first, owner).gross_micro, earnings.total(rows).gross_micro) == (70_000, 140_000)


def test_in_a_period(market):
    owner, day = market.nodes[0].vehicle.owner, timedelta(days=1)
    today = UsageRecord.objects.latest("id").created_at.date()
    assert earnings.vehicles(owner, today + day, today + 2 * day) == []
    assert earnings.vehicles(owner, today - day, today) == []
    assert len(earnings.vehicles(owner, today, today + day)) == 2
    assert earnings.lifetime_total(make_owner()) == earnings.NO_EARNINGS
