"""The price of a kWh at a moment: the function in the database compared with a slow one in Python."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import Jsonb
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import OwnerPolicy
from tests import factories

pytestmark = pytest.mark.django_db
FLAT = 180_200
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
NIGHT = [[day, 22 * 60, 6 * 60, 90_000] for day in range(7)]


def in_sql(windows, zone, moments):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT accounts_tariff_micro(%s, %s, %s, m) FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS t(m,"
            " n) ORDER BY n",
            [FLAT, Jsonb(windows), zone, moments],
        )
        return [row[0] for row in cursor.fetchall()]


def in_python(windows, zone, moment):
    """Return the price by comparing the local time with every window that began today or yesterday."""
    wall = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0, second=0, microsecond=0)
    for begun in (wall.date(), wall.date() - timedelta(days=1)):
        for weekday, start, end, price in windows:
            if weekday == begun.weekday():
                opens = datetime.combine(begun, datetime.min.time()) + timedelta(minutes=start)
                closes = datetime.combine(begun, datetime.min.time()) + timedelta(minutes=end)
                if closes <= opens:
                    closes += timedelta(days=1)
                if opens <= wall < closes:
                    return price
    return FLAT


# All windows have the same price: the service refuses overlapping windows, whose price would be undefined here.
ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1439), st.integers(0, 1440)), min_size=1, max_size=4).map(
    lambda rows: [[*row, 1_000] for row in rows]
)
MOMENTS = st.integers(0, 3 * 365 * 86400).map(
    lambda second: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from(ZONES), st.lists(MOMENTS, min_size=20, max_size=40))
def test_sql_and_python_agree(windows, zone, moments):
    assert in_sql(windows, zone, moments) == [in_python(windows, zone, moment) for moment in moments]


@pytest.mark.parametrize("zone", ZONES)
def test_every_minute_of_the_nights_when_clocks_change(zone):
    """With a different price each hour, in both nights of a clock change.

    The repeated hour costs the same both times.
    """
    windows = [[day, hour * 60, hour * 60 + 60, 1_000 * hour] for day in range(7) for hour in range(24)]
    for night in (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)):
        moments = [night + timedelta(minutes=minute) for minute in range(0, 26 * 60, 10)]
        assert in_sql(windows, zone, moments) == [in_python(windows, zone, moment) for moment in moments]


def test_a_night_with_two_hours_between_two_and_three():
    dear = [[6, 120, 180, 500_000]]  # Sunday, 2 to 3 o'clock in Berlin
    moments = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1, 2)]
    assert in_sql(dear, "Europe/Berlin", moments) == [500_000, 500_000, FLAT]
    spring = [datetime(2026, 3, 29, 0, 59, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)]
    assert in_sql(dear, "Europe/Berlin", spring) == [FLAT, FLAT]  # in spring that hour does not exist


def test_the_edges_of_a_window():
    moments = [
        datetime(2026, 6, 1, hour, minute, second, tzinfo=UTC)
        for hour, minute, second in ((21, 59, 59), (22, 0, 0), (23, 59, 59), (5, 59, 59), (6, 0, 0))
    ]
    assert in_sql(NIGHT, "UTC", moments) == [FLAT, 90_000, 90_000, 90_000, FLAT]


@pytest.mark.parametrize("windows", [{}, "x", 7, [7], [[]], [["a", "b", "c", "d"]], [[0, 0, 0, 10**30]], None])
def test_a_row_that_makes_no_sense_costs_the_flat_price(windows):
    assert in_sql(windows, "UTC", [datetime(2026, 6, 1, tzinfo=UTC)]) == [FLAT]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "'; DROP TABLE x"])
def test_so_does_an_unknown_time_zone(zone):
    assert in_sql(NIGHT, zone, [datetime(2026, 6, 1, 23, tzinfo=UTC)]) == [FLAT]


@pytest.mark.parametrize(("own", "owners", "price"), [("", "Asia/Tokyo", FLAT), ("UTC", "Asia/Tokyo", 90_000)])
def test_a_policy_is_in_its_own_time_zone_or_its_owners(own, owners, price):
    vehicle = factories.make_vehicle(consent="")
    type(vehicle.owner).objects.update(time_zone=owners)
    OwnerPolicy.objects.update(tariff_windows=NIGHT, time_zone=own, tariff_micro_per_kwh=FLAT)
    with connection.cursor() as cursor:
        moment = datetime(2026, 6, 1, 23, tzinfo=UTC)
        cursor.execute("SELECT accounts_tariff_micro(%s, %s)", [vehicle.policy.pk, moment])
        assert cursor.fetchone() == (price,)
