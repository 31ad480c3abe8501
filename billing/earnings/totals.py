"""What owners earned, summed by owner or by vehicle over any span of days."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db import connection

from accounts.models import Owner, Vehicle


@dataclass(frozen=True)
class Earnings:
    """What work brought an owner: `net_micro` = gross - energy - wear, in micro-units of one currency."""

    owner_id: int
    vehicle_id: int | None  # None: all vehicles of the owner
    currency: str
    attempts: int
    compute_ms: int
    energy_mwh: int
    gross_micro: int
    energy_cost_micro: int
    wear_micro: int

    @property
    def net_micro(self) -> int:
        return self.gross_micro - self.energy_cost_micro - self.wear_micro


# Grouped by vehicle, or by owner when asked to put NULL in its place. From the days, so that it costs the same whatever the number
# of attempts; voids have taken away what they undid.
EARNED = """
SELECT owner_id, CASE WHEN %(by_vehicle)s THEN vehicle_id END, currency, sum(attempts)::bigint,
       sum(compute_ms)::bigint, sum(energy_mwh)::bigint, sum(gross_micro)::bigint,
       billing_round_half_even(sum(energy_cost_nano), 1000), billing_round_half_even(sum(wear_nano), 1000)
  FROM billing_earningsday
 WHERE (%(owners)s::bigint[] IS NULL OR owner_id = ANY(%(owners)s))
   AND (%(vehicles)s::bigint[] IS NULL OR vehicle_id = ANY(%(vehicles)s))
   AND (%(since)s::date IS NULL OR day >= %(since)s)
   AND (%(until)s::date IS NULL OR day < %(until)s)
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def earnings_by_owner(
    owners: Iterable[Owner] | None = None, *, since: date | None = None, until: date | None = None
) -> list[Earnings]:
    """One row for each owner and currency with work verified on the days (UTC) in [since, until), by owner id; None: all."""
    return _earned(owners, since, until, by_vehicle=False)


def earnings_by_vehicle(
    owners: Iterable[Owner] | None = None,
    *,
    vehicles: Iterable[Vehicle] | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[Earnings]:
    """As `earnings_by_owner`, with one row for each vehicle (of these, or of all) and currency."""
    return _earned(owners, since, until, by_vehicle=True, vehicles=vehicles)


def _earned(
    owners: Iterable[Owner] | None,
    since: date | None,
    until: date | None,
    *,
    by_vehicle: bool,
    vehicles: Iterable[Vehicle] | None = None,
) -> list[Earnings]:
    values = {
        "by_vehicle": by_vehicle,
        "since": since,
        "until": until,
        "owners": None if owners is None else [owner.pk for owner in owners],
        "vehicles": None if vehicles is None else [vehicle.pk for vehicle in vehicles],
    }
    with connection.cursor() as cursor:
        cursor.execute(EARNED, values)
        return [Earnings(*row) for row in cursor]
