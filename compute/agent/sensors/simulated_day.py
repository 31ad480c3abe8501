"""`simulated:day`: the days of a commuter's car, computed from a seed and the time alone.

A day begins at 04:00, when the night's charging is over. On a working day the car drives to work, is parked there
unplugged on the mobile network, drives home, and on most evenings is plugged in at home on Wi-Fi. At weekends it makes
one trip, and is then plugged in while the sun shines. All figures are invented; they only need to be plausible.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from math import cos, pi

from compute.agent.sensors.state import LONG_AGO, VehicleState

_FULL = 80.0
_CHARGE_PER_MINUTE = 0.2  # 7 kW into 60 kWh
_DRIVE_PER_MINUTE = 0.25
_PRECONDITION_MINUTES = 10
_DAY_STARTS_MINUTE = 4 * 60
# (end of the period in minutes after midnight, price in micro-units per kWh).
_PRICES = ((6 * 60, 120_000), (16 * 60, 280_000), (21 * 60, 420_000), (23 * 60, 280_000), (24 * 60, 120_000))


@dataclass(frozen=True)
class Plan:
    """One day, in minutes after midnight: two drives, and the time of plugging in (None: not plugged in)."""

    drives: tuple[tuple[int, int], ...]
    plugged_at: int | None
    is_weekend: bool
    is_hot: bool


class SimulatedDay:
    """Readings of the simulated car.

    Simulated time runs ``speed`` times as fast as real time; ``at`` is the real time.
    """

    def __init__(
        self, *, seed: int, where: tzinfo, speed: int = 1, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.source = f"simulated:day?seed={seed}" + (f"&speed={speed}" if speed != 1 else "")
        self._seed, self._where, self._speed, self._clock = seed, where, speed, clock
        self._started = clock()

    def __call__(self) -> VehicleState:
        now = self._clock()
        simulated = self._started + (now - self._started) * self._speed
        return state_at(self._seed, simulated.astimezone(self._where), at=now)

    def close(self) -> None:
        """Do nothing: no resource is held."""


def state_at(seed: int, local: datetime, *, at: datetime = LONG_AGO) -> VehicleState:
    """Return the reading of this seed's car at a local time, with ``at`` as its time."""
    day, minute = _day_and_minute(local)
    plan = plan_of(seed, day)
    is_driving = any(start <= minute < end for start, end in plan.drives)
    leaves = any(start - _PRECONDITION_MINUTES <= minute < start for start, _ in plan.drives)
    is_home = minute < plan.drives[0][0] or minute >= plan.drives[-1][1]
    is_plugged = _is_plugged(seed, day, minute)
    percent = charge_at(seed, day, minute)
    is_charging = is_plugged and percent < _FULL
    hour = (minute % 1440) // 60
    return VehicleState(
        at=at,
        parked=not is_driving,
        plugged_in=is_plugged,
        charging=is_charging,
        charge_percent=round(percent, 1),
        network="wifi" if is_home else "cellular",
        temperature_c=round(_heat(plan, minute), 1),
        solar=is_charging and 9 <= hour < 16,
        price_micro_per_kwh=float(next(price for until, price in _PRICES if minute % 1440 < until)),
        busy="preconditioning" if leaves else "",
    )


@lru_cache(maxsize=64)
def plan_of(seed: int, day: date) -> Plan:
    """Return the plan of a day, always the same for the same seed and day."""
    rng = random.Random(f"{seed}/{day.toordinal()}")  # noqa: S311 - a simulation, not a secret
    is_weekend, is_hot = day.weekday() >= 5, rng.random() < 0.25
    if is_weekend:
        leaves = rng.randint(8 * 60, 9 * 60)
        drives = ((leaves, leaves + rng.randint(15, 30)), (leaves + 60, leaves + 60 + rng.randint(15, 30)))
        return Plan(drives, drives[1][1] + 5, True, is_hot)
    leaves, returns = rng.randint(7 * 60, 8 * 60 + 30), rng.randint(16 * 60, 18 * 60)
    drives = ((leaves, leaves + rng.randint(20, 45)), (returns, returns + rng.randint(20, 50)))
    # Plugged in every third evening at least, so that a day's charge never depends on more than a few days before it.
    is_plugged = rng.random() < 0.7 or day.toordinal() % 3 == 0
    return Plan(drives, drives[1][1] + rng.randint(3, 60) if is_plugged else None, False, is_hot)


def charge_at(seed: int, day: date, minute: float) -> float:
    """Return the charge in percent at a minute of the day, which ends at 04:00 the next morning (minute 1680)."""
    plan = plan_of(seed, day)
    driven = sum(max(0.0, min(minute, end) - start) for start, end in plan.drives)
    percent = _morning(seed, day) - driven * _DRIVE_PER_MINUTE
    if plan.plugged_at is None or minute < plan.plugged_at:
        return percent
    return min(_FULL, percent + (minute - plan.plugged_at) * _CHARGE_PER_MINUTE)


def _morning(seed: int, day: date) -> float:
    """Return the charge at the start of the day: full if plugged in last night, else the charge of the day before."""
    before = day - timedelta(days=1)
    return _FULL if plan_of(seed, before).plugged_at is not None else charge_at(seed, before, 1440 + _DAY_STARTS_MINUTE)


def _is_plugged(seed: int, day: date, minute: float) -> bool:
    plan = plan_of(seed, day)
    if minute < plan.drives[0][0] - _PRECONDITION_MINUTES:
        return plan_of(seed, day - timedelta(days=1)).plugged_at is not None
    return plan.plugged_at is not None and minute >= plan.plugged_at


def _heat(plan: Plan, minute: float) -> float:
    """Return a temperature wave in °C that peaks at 15:00. On hot days it exceeds the owners' default limit."""
    return (22 if plan.is_hot else 14) + (26 if plan.is_hot else 10) * (1 + cos((minute - 15 * 60) / 1440 * 2 * pi)) / 2


def _day_and_minute(local: datetime) -> tuple[date, float]:
    minute = local.hour * 60 + local.minute + local.second / 60
    if minute < _DAY_STARTS_MINUTE:
        return local.date() - timedelta(days=1), minute + 1440
    return local.date(), minute
