"""Rules that hold for every owner: no work while the car is driven or busy, or when its reading cannot be trusted."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from compute.agent.policy.verdict import Availability, missing_value, refusal
from compute.agent.sensors.state import NETWORKS, VehicleState

STALE_AFTER = timedelta(seconds=120)
_JUMP_WITHIN = timedelta(minutes=1)
_CHARGE_JUMP = 20
_HEAT_JUMP = 40
_PRICE_LIMIT = 100_000_000  # micro-units per kWh: 100 units of the currency


def unfit(state: VehicleState, now: datetime, last: VehicleState | None) -> Availability | None:
    """Return a refusal for a stale or absurd reading, or None. ``last`` is the last reading that was neither."""
    return _stale(state, now) or _absurd(state, last)


def in_use(state: VehicleState) -> Availability | None:
    """Return a refusal while the car is driven or busy, or None."""
    return _driving(state) or _busy(state)


def _stale(state: VehicleState, now: datetime) -> Availability | None:
    if abs(now - state.at) <= STALE_AFTER:
        return None
    why = state.note or f"The car's last reading is from {_age_text(state, now)}."
    limit = int(STALE_AFTER.total_seconds())
    return refusal("sensor_stale", f"{why} Work needs a reading from the last {limit} seconds.")


def _absurd(state: VehicleState, last: VehicleState | None) -> Availability | None:
    fault = state.fault or _range(state) or _contradiction(state) or _jump(state, last)
    return refusal("sensor_absurd", f"{fault}, which is impossible.") if fault else None


def _age_text(state: VehicleState, now: datetime) -> str:
    if state.at.year <= 1970:
        return "never"
    seconds = (now - state.at).total_seconds()
    return f"{seconds:.0f} seconds ago" if seconds > 0 else f"{-seconds:.0f} seconds in the future"


def _range(state: VehicleState) -> str:
    if state.charge_percent is not None and not 0 <= state.charge_percent <= 100:
        return f"The car reports a charge of {state.charge_percent:g} %"
    if state.temperature_c is not None and not -40 <= state.temperature_c <= 120:
        return f"The car reports {state.temperature_c:g} °C"
    price = state.price_micro_per_kwh
    if price is not None and not (math.isfinite(price) and abs(price) <= _PRICE_LIMIT):
        return f"The charger reports a price of {price / 1e6:g} per kWh"
    if state.network is not None and state.network not in NETWORKS:
        return f'The car reports a network called "{state.network[:20]}"'
    return ""


def _contradiction(state: VehicleState) -> str:
    if state.charging and state.plugged_in is False:
        return "The car reports that it charges without being plugged in"
    return ""


def _jump(state: VehicleState, last: VehicleState | None) -> str:
    if last is None or abs(state.at - last.at) > _JUMP_WITHIN:
        return ""
    if _differ(state.charge_percent, last.charge_percent, _CHARGE_JUMP):
        return f"The charge went from {last.charge_percent:g} to {state.charge_percent:g} % within a minute"
    if _differ(state.temperature_c, last.temperature_c, _HEAT_JUMP):
        return f"The temperature went from {last.temperature_c:g} to {state.temperature_c:g} °C within a minute"
    return ""


def _differ(first: float | None, second: float | None, by: float) -> bool:
    return first is not None and second is not None and abs(first - second) > by


def _driving(state: VehicleState) -> Availability | None:
    if state.parked is None:
        return missing_value("whether it is parked", "")
    return None if state.parked else refusal("driving", "The car is being driven; it works only while parked.")


def _busy(state: VehicleState) -> Availability | None:
    return (
        refusal("car_busy", f"The car is busy with {state.busy}; it works only while it is not in use.")
        if state.busy
        else None
    )
