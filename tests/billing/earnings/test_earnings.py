"""What an owner earned: rows add up to their sum, whatever fractions of a micro-unit the costs have."""

from datetime import UTC, date, datetime

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from billing.earnings import selectors as earnings
from billing.earnings.selectors import RunningSum
from core.money import round_half_even
from tests import factories

pytestmark = pytest.mark.django_db


@given(st.lists(st.integers(-(10**9), 10**12), max_size=40))
def test_lines_add_up_to_the_sum_rounded_once(values: list[int]) -> None:
    running = RunningSum()
    rows = [running.add(nano) for nano in values]
    assert sum(rows) == round_half_even(sum(values), 1000)
    assert all(abs(row * 1000 - nano) <= 1000 for row, nano in zip(rows, values, strict=True))


def test_days_months_and_vehicles_agree() -> None:
    owner = factories.make_owner()
    cars = [factories.make_vehicle(owner) for _ in range(2)]
    for index, car in enumerate(cars):
        for day in (1, 2, 30):
            factories.make_earnings_day(
                car, date(2026, 11, day), gross_micro=1000 + index, energy_cost_nano=333_500, wear_nano=7
            )
    factories.make_earnings_day(factories.make_vehicle(), date(2026, 11, 1), gross_micro=10**9)
    factories.make_earnings_day(cars[0], date(2026, 12, 1), gross_micro=5)
    since, until = date(2026, 11, 1), date(2026, 12, 1)
    days = earnings.days(owner, since, until)
    assert len(days) == 30
    assert [row.key.day for row in days if not row.is_empty] == [1, 2, 30]
    november = earnings.months(owner, 2026)[10]
    by_car = earnings.vehicles(owner, since, until)
    assert [row.key for row in by_car] == cars
    sums = [earnings.total(rows) for rows in (days, by_car, [november])]
    assert sums[0] == sums[1] == sums[2]
    assert (sums[0].gross_micro, sums[0].energy_micro, sums[0].wear_micro, sums[0].net_micro) == (6003, 2001, 0, 4002)
    assert earnings.lifetime_total(owner).gross_micro == 6008


def test_next_statement() -> None:
    # (month, day, hour) now -> (month, day) of the next statement
    for now, due in (((11, 2, 12), (11, 3)), ((11, 3, 0), (12, 3)), ((12, 24, 0), (1, 3))):
        at = earnings.next_statement_at(datetime(2026, *now, tzinfo=UTC))
        assert at == datetime(2026 + (due[0] == 1), *due, tzinfo=UTC)


def test_page(client: Client) -> None:
    car = factories.make_vehicle()
    client.force_login(car.owner.user)
    page = reverse("earnings")
    assert "Nothing earned yet" in client.get(page).content.decode()
    factories.make_earnings_day(car, date(2026, 2, 28), gross_micro=1_234_567, energy_cost_nano=234_567_000)
    month = client.get(page, {"month": "2026-02"}).content.decode()
    for words in ("February 2026", 'role="img"', "$1.234567", "$0.234567", "$1.00", car.label):
        assert words in month
    year = client.get(page, {"year": "2026"}).content.decode()
    assert "?month=2026-02" in year
    assert "Nothing was earned in this time." in client.get(page, {"year": "2025"}).content.decode()
    for bad in ({"month": "2026-13"}, {"month": "x"}, {"year": "٢٠٢٦x"}, {"currency": "XXX"}):
        assert client.get(page, bad).status_code == 404


def test_page_asks_as_often_for_a_year_as_for_a_day(client: Client, django_assert_max_num_queries) -> None:
    car = factories.make_vehicle()
    for day in range(1, 29):
        factories.make_earnings_day(car, date(2026, 2, day), gross_micro=1000)
    client.force_login(car.owner.user)
    with django_assert_max_num_queries(14):
        assert client.get(reverse("earnings"), {"month": "2026-02"}).status_code == 200
