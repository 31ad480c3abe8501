"""May this car work now? The owner's rules, evaluated on the vehicle. Pure: no clock, no files.

Rules that guard the battery and the heat have two thresholds (stop and resume), so that a reading that hovers
does not switch the car on and off.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from compute.agent.sensors import VehicleState
from compute.protocol import Policy

STALE_AFTER = timedelta(seconds=120)
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES


@dataclass(frozen=True)
class Availability:
    """``code`` is "" when available; ``sentence`` names the setting that decided."""

    available: bool
    code: str = ""
    sentence: str = ""


READY = Availability(True, "", "Every rule of the owner allows work now.")


def evaluate(policy: Policy, state: VehicleState, now: datetime, previous: Availability) -> Availability:
    """The first rule that forbids work, or READY. ``now`` is aware; ``previous``, the last verdict, for
    hysteresis.
    """
    return (
        _sensor_fault(state, now)
        or _driving(state)
        or _paused(policy, now)
        or _schedule(policy, now)
        or _plug(policy, state)
        or _charge(policy, state, previous)
        or _network(policy, state)
        or _heat(policy, state, previous)
        or READY
    )


def _no(code: str, sentence: str) -> Availability:
    return Availability(False, code, sentence)


def _sensor_fault(state: VehicleState, now: datetime) -> Availability | None:
    if abs(now - state.at) > STALE_AFTER:
        return _no("sensor_stale", "The car has sent no reading for 120 seconds; without one it takes no work.")
    if not 0 <= state.charge_percent <= 100:
        return _no("sensor_absurd", f"The car reports a charge of {state.charge_percent:g} %, which cannot be.")
    if not -40 <= state.temperature_c <= 120:
        return _no("sensor_absurd", f"The car reports {state.temperature_c:g} °C, which cannot be.")
    return None


def _driving(state: VehicleState) -> Availability | None:
    return None if state.parked else _no("driving", "The car is being driven; it works only while parked.")


def _paused(policy: Policy, now: datetime) -> Availability | None:
    until = policy.paused_until_unix_ms
    if not policy.pause or (until and now.timestamp() * 1000 >= until):
        return None
    if not until:
        return _no("paused", "The owner has paused this vehicle until further notice.")
    try:
        when = datetime.fromtimestamp(until / 1000, UTC).isoformat(timespec="minutes")
    except (ValueError, OverflowError, OSError):
        return _no("paused", "The owner has paused this vehicle until further notice.")
    return _no("paused", f"The owner has paused this vehicle until {when}.")


def _schedule(policy: Policy, now: datetime) -> Availability | None:
    if not policy.windows:
        return None
    try:
        local = now.astimezone(ZoneInfo(policy.time_zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _no("outside_schedule", f'The schedule names an unknown time zone, "{policy.time_zone}".')
    minute = local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute
    if any(_within(minute, *window) for window in policy.windows):
        return None
    return _no("outside_schedule", f"It is {local:%A %H:%M}, outside the owner's schedule.")


def _within(minute: int, weekday: int, start: int, end: int) -> bool:
    """Is a minute of the week in the window? One that ends at or before its start ends on the next day."""
    length = end - start if end > start else end - start + _DAY_MINUTES
    opened = weekday * _DAY_MINUTES + start
    return (minute - opened) % _WEEK_MINUTES < length


def _plug(policy: Policy, state: VehicleState) -> Availability | None:
    if state.plugged_in or not policy.plugged_in_only:
        return None
    return _no("not_plugged_in", "The car is not plugged in, and the owner allows work only while plugged in.")


def _charge(policy: Policy, state: VehicleState, previous: Availability) -> Availability | None:
    floor, setting = policy.charge_stop_percent, "stop below"
    if previous.code == "charge_low":
        floor, setting = max(policy.charge_resume_percent, floor), "resume at"
    if state.charge_percent >= floor:
        return None
    return _no(
        "charge_low",
        f'The battery is at {state.charge_percent:g} %, below the owner\'s "{setting} {floor} %".',
    )


def _network(policy: Policy, state: VehicleState) -> Availability | None:
    if policy.network != "wifi" or state.network in ("wifi", "ethernet"):
        return None
    return _no("not_on_wifi", f'The car is on "{state.network}", and the owner allows work only on Wi-Fi.')


def _heat(policy: Policy, state: VehicleState, previous: Availability) -> Availability | None:
    ceiling, setting = policy.heat_stop_c, "stop above"
    if previous.code == "too_hot":
        ceiling, setting = min(policy.heat_resume_c, ceiling), "resume at"
    if state.temperature_c <= ceiling:
        return None
    return _no("too_hot", f'It is {state.temperature_c:g} °C, above the owner\'s "{setting} {ceiling} °C".')
