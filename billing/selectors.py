"""Reads across models: the price in force, and what owners earned."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import QuerySet

from accounts.models import Owner, Vehicle
from billing.models import RateCard
from compute.models import HardwareClass


def in_force(hardware_class: HardwareClass, at: datetime, *, currency: str = "USD") -> RateCard | None:
    """The card that prices work of a class ordered at a moment: the newest that was valid by then."""
    return cards_in_force([hardware_class], at, currency=currency).first()


def cards_in_force(classes: Iterable[HardwareClass], at: datetime, *, currency: str = "USD") -> QuerySet[RateCard]:
    """At most one card for each class, as `in_force`."""
    return (
        RateCard.objects.filter(hardware_class__in=list(classes), currency=currency, valid_from_at__lte=at)
        .select_related("hardware_class")
        .order_by("hardware_class_id", "-valid_from_at")
        .distinct("hardware_class_id")
    )


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


# Grouped by vehicle, or by owner when asked to put NULL in its place.
EARNED = """
SELECT u.owner_id, CASE WHEN %(by_vehicle)s THEN u.vehicle_id END, c.currency, count(*),
       sum(u.compute_ms)::bigint, sum(u.energy_mwh)::bigint,
       sum(r.owner_micro)::bigint, billing_round_half_even(sum(r.energy_cost_nano), 1000), billing_round_half_even(sum(r.wear_nano), 1000)
  FROM billing_ratedusage r
  JOIN compute_usagerecord u ON u.id = r.usage_id
  JOIN billing_joborder o ON o.id = r.order_id
  JOIN billing_ratecard c ON c.id = o.rate_card_id
 WHERE (%(owners)s::bigint[] IS NULL OR u.owner_id = ANY(%(owners)s))
   AND (%(vehicles)s::bigint[] IS NULL OR u.vehicle_id = ANY(%(vehicles)s))
   AND (%(since)s::timestamptz IS NULL OR r.created_at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR r.created_at < %(until)s)
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def earnings_by_owner(
    owners: Iterable[Owner] | None = None, *, since: datetime | None = None, until: datetime | None = None
) -> list[Earnings]:
    """One row for each owner and currency with work settled in [since, until), by owner id; None: all."""
    return _earned(owners, since, until, by_vehicle=False)


def earnings_by_vehicle(
    owners: Iterable[Owner] | None = None,
    *,
    vehicles: Iterable[Vehicle] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Earnings]:
    """As `earnings_by_owner`, with one row for each vehicle (of these, or of all) and currency."""
    return _earned(owners, since, until, by_vehicle=True, vehicles=vehicles)


def _earned(
    owners: Iterable[Owner] | None, since: datetime | None, until: datetime | None, *, by_vehicle: bool,
    vehicles: Iterable[Vehicle] | None = None,
) -> list[Earnings]:  # fmt: skip
    values = {
        "by_vehicle": by_vehicle, "since": since, "until": until,
        "owners": None if owners is None else [owner.pk for owner in owners],
        "vehicles": None if vehicles is None else [vehicle.pk for vehicle in vehicles],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(EARNED, values)
        return [Earnings(*row) for row in cursor]
