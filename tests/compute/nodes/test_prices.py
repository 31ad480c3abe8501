"""The cost of an hour of work follows the owner's tariff through the day, and no work below it is offered."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import OwnerPolicy
from compute.dispatch import dispatch
from compute.models import Attempt, HardwareClass, Node
from compute.nodes import prices
from compute.tasks import price_nodes
from core.states import transition
from tests import factories

pytestmark = pytest.mark.django_db
POWER_MW = 15_000


def clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Make the statement use a given moment instead of the database's clock."""
    frozen = prices.REPRICE.replace("now()", f"timestamptz '{moment.isoformat()}'")
    monkeypatch.setattr(prices, "REPRICE", frozen)


def cost(car: factories.Car) -> int:
    return Node.objects.get(pk=car.node.pk).cost_micro_per_hour


def set_policy(car: factories.Car, **fields: object) -> None:
    OwnerPolicy.objects.filter(vehicle=car.node.vehicle).update(**fields)


@pytest.mark.parametrize(
    ("minute", "per_kwh"),
    [
        ("19:57", 300_000),
        ("19:59", 300_000),
        ("20:00", 90_000),
        ("03:57", 90_000),
        ("03:58", 300_000),
        ("04:00", 300_000),
    ],
)
def test_the_price_follows_the_hour_and_looks_two_minutes_ahead(monkeypatch, minute, per_kwh):
    """The low price holds from 22:00 to 06:00 in Berlin (20:00 to 04:00 UTC); the high one counts two minutes early."""
    car = factories.make_car()
    set_policy(
        car,
        tariff_windows=[[day, 1320, 360, 90_000] for day in range(7)],
        tariff_micro_per_kwh=300_000,
        wear_micro_per_kwh=0,
        time_zone="Europe/Berlin",
    )
    clock(monkeypatch, datetime.fromisoformat(f"2026-06-01T{minute}").replace(tzinfo=UTC))
    price_nodes()
    assert cost(car) == POWER_MW * per_kwh // 1_000_000


def test_a_changed_class_reprices_its_nodes_and_only_those_are_written():
    car, other = factories.make_car(), factories.make_car()
    set_policy(other, tariff_micro_per_kwh=1, wear_micro_per_kwh=0)
    assert prices.price_nodes() == 1
    assert cost(other) == 1  # a fraction is rounded up, so that no owner works at a loss
    HardwareClass.objects.update(power_mw=75_000)
    before = cost(car)
    assert prices.price_nodes() == 1  # the rounded price of the other node stays 1
    assert cost(car) == 5 * before
    assert prices.price_nodes() == 0


def test_a_retired_node_has_no_price():
    car = factories.make_car()
    transition(car.node, "retired")
    set_policy(car, tariff_micro_per_kwh=1)
    assert prices.price_nodes() == 0


def test_as_many_statements_for_six_cars_as_for_one(monkeypatch):
    cars = [factories.make_car() for _ in range(6)]
    OwnerPolicy.objects.update(tariff_micro_per_kwh=10)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert prices.price_nodes() == 6
    assert len([query for query in queries if "compute_node" in query["sql"]]) == 1
    monkeypatch.setattr(prices, "BATCH", 2)
    OwnerPolicy.objects.update(tariff_micro_per_kwh=20_000)
    assert prices.price_nodes() == 6
    assert len({cost(car) for car in cars}) == 1


def test_no_offer_at_a_loss_in_the_dear_hour(monkeypatch):
    """The job pays 0.07 an hour. At 15 W that is a loss above 4.66 a kWh."""
    car = factories.make_car()
    set_policy(car, tariff_windows=[[day, 0, 360, 90_000] for day in range(7)], tariff_micro_per_kwh=5_000_000)
    factories.make_job(items=4, unit_items=4)
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    with monkeypatch.context() as patch:
        clock(patch, noon)
        prices.price_nodes()
    car.sync()
    assert dispatch.dispatch() == 0
    assert not Attempt.objects.exists()
    with monkeypatch.context() as patch:
        clock(patch, noon + timedelta(hours=13))
        prices.price_nodes()
    factories.make_job(items=4, unit_items=4)  # dispatch skips the other job's unit for a second
    assert dispatch.dispatch() > 0
