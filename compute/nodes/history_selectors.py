"""Reads of a car's availability history: how much of each day it was available, and the reasons when it was not.

Nothing is returned unless the consent to keep this history is in force.
"""

from dataclasses import dataclass
from datetime import date

from django.db import connection

from accounts.models import Vehicle
from compute import reasons

DAYS = 30

# Spans are cut at midnight in the owner's time zone. Days without a span are left out. If a computer was replaced, the
# seconds of both are added.
BY_DAY = """
SELECT d.day, COALESCE(sum(t.seconds) FILTER (WHERE s.available), 0)::float8, sum(t.seconds)::float8
  FROM (SELECT day::date AS day, day AT TIME ZONE %(zone)s AS since, (day + interval '1 day') AT TIME ZONE %(zone)s AS upto
          FROM generate_series((now() AT TIME ZONE %(zone)s)::date - (%(days)s - 1) * interval '1 day',
                               (now() AT TIME ZONE %(zone)s)::date, interval '1 day') AS day) d
  JOIN compute_availabilityspan s ON s.vehicle_id = %(vehicle)s AND s.started_at < d.upto
       AND COALESCE(s.ended_at, now()) > d.since
  JOIN LATERAL (SELECT extract(epoch FROM LEAST(COALESCE(s.ended_at, now()), d.upto) - GREATEST(s.started_at, d.since))
                AS seconds) t ON true
 WHERE accounts_consent_in_force(%(vehicle)s, 'availability')
 GROUP BY d.day ORDER BY d.day
"""

BY_REASON = """
SELECT s.reason, sum(extract(epoch FROM COALESCE(s.ended_at, now()) - GREATEST(s.started_at, w.since)))::float8 AS seconds
  FROM compute_availabilityspan s, (SELECT now() - %(days)s * interval '1 day' AS since) w
 WHERE s.vehicle_id = %(vehicle)s AND NOT s.available AND COALESCE(s.ended_at, now()) > w.since
   AND accounts_consent_in_force(%(vehicle)s, 'availability')
 GROUP BY s.reason ORDER BY seconds DESC, s.reason LIMIT %(limit)s
"""


@dataclass(frozen=True)
class DayShare:
    """A day in the owner's time zone: the seconds in which the car was available, and those covered by spans at all."""

    day: date
    available_s: float
    known_s: float

    @property
    def available_ms(self) -> int:
        return round(self.available_s * 1000)

    @property
    def percent(self) -> int:
        return round(100 * self.available_s / self.known_s) if self.known_s else 0


@dataclass(frozen=True)
class ReasonCost:
    """A reason why the car was not available, and for how many seconds. `setting` is the rule that caused it, or ""."""

    reason: str
    sentence: str
    setting: str
    seconds: float

    @property
    def duration_ms(self) -> int:
        return round(self.seconds * 1000)


def availability_by_day(vehicle: Vehicle, *, time_zone: str = "UTC", days: int = DAYS) -> list[DayShare]:
    """Return the availability on each of the last days, today included, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(BY_DAY, {"vehicle": vehicle.pk, "zone": time_zone, "days": days})
        return [DayShare(*row) for row in cursor.fetchall()]


def costliest_reasons(vehicle: Vehicle, *, days: int = DAYS, limit: int = 5) -> list[ReasonCost]:
    """Return the reasons why the car was not available in the last days, the longest first."""
    with connection.cursor() as cursor:
        cursor.execute(BY_REASON, {"vehicle": vehicle.pk, "days": days, "limit": limit})
        rows = cursor.fetchall()
    return [ReasonCost(code, _sentence(code), reasons.setting(code), seconds) for code, seconds in rows]


def _sentence(code: str) -> str:
    return reasons.sentence(code if code != "other" else "")
