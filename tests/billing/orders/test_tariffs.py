"""What an attempt's energy cost its owner: by the tariff in force when it was leased, not when it was settled."""

from datetime import UTC, datetime

import pytest

from accounts.models import OwnerPolicy
from billing.models import RatedUsage
from billing.orders.settlement import settle_usage
from tests.billing.helpers import make_market, make_usage, order
from tests.database import execute, unguarded

pytestmark = pytest.mark.django_db
KWH = 1_000_000
NIGHT = [[day, 22 * 60, 6 * 60, 90_000] for day in range(7)]


def set_leased_at(attempt: int, moment: datetime) -> None:
    """Change when an attempt was leased, which no rule allows: only a session with the role of a replica can."""
    with unguarded():
        execute("UPDATE compute_attempt SET leased_at = %s WHERE id = %s", moment, attempt)


def cost_of(market, *moments: datetime) -> list[int]:
    """Settle attempts leased at these moments together, and return the nano-units that a kWh cost in each."""
    paid = order(market.organization)
    for moment in moments:
        usage = make_usage(paid.job, market.nodes[0], energy_mwh=KWH)
        set_leased_at(usage.attempt_id, moment)
    assert settle_usage() == len(moments)
    return list(RatedUsage.objects.order_by("usage_id").values_list("energy_cost_nano", flat=True))


@pytest.fixture
def market():
    market = make_market()
    OwnerPolicy.objects.update(tariff_windows=NIGHT, tariff_micro_per_kwh=300_000, time_zone="Europe/Berlin")
    return market


def test_the_cheap_and_the_dear_hour_each_at_its_own_price(market):
    dear, cheap = datetime(2026, 6, 1, 19, 59, tzinfo=UTC), datetime(2026, 6, 1, 20, 0, tzinfo=UTC)
    assert cost_of(market, dear, cheap) == [300_000_000, 90_000_000]


def test_the_night_when_the_clocks_go_back(market):
    """The cheap window is from 22:00 (20:00 UTC) to 6:00 (5:00 UTC): nine hours that night."""
    moments = [
        datetime(2026, 10, 24, 19, 59, tzinfo=UTC),
        datetime(2026, 10, 24, 20, 0, tzinfo=UTC),
        datetime(2026, 10, 25, 4, 59, tzinfo=UTC),
        datetime(2026, 10, 25, 5, 0, tzinfo=UTC),
    ]
    assert cost_of(market, *moments) == [300_000_000, 90_000_000, 90_000_000, 300_000_000]


def test_an_unreadable_time_zone_stops_nobodys_settlement(market):
    OwnerPolicy.objects.filter(vehicle=market.nodes[0].vehicle).update(time_zone="Mars/Olympus")
    assert cost_of(market, datetime(2026, 6, 1, 20, 0, tzinfo=UTC)) == [300_000_000]
