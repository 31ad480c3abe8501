"""Parse readings in JSON: of files, of programs, and the overrides of the simulator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from compute.agent.sensors.state import NETWORKS, VehicleState

# Fields that every reading from outside must have, with null for "unknown". The others may be left out.
REQUIRED = frozenset({"parked", "plugged_in", "charge_percent", "network", "temperature_c"})
_BOOLEANS = ("parked", "plugged_in", "charging", "solar")
_NUMBERS = ("charge_percent", "temperature_c", "price_micro_per_kwh")
_MAX_BUSY = 80


def parse_fields(data: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raise ValueError for anything else."""
    try:
        fields = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return fields


def complete_reading(fields: Mapping[str, Any], default: VehicleState) -> VehicleState:
    """Return a reading from ``fields``, which must have all that are REQUIRED. Raise ValueError."""
    if missing := REQUIRED - set(fields):
        raise ValueError(f"missing fields: {', '.join(sorted(missing))}")
    return override_reading(default, fields)


def override_reading(default: VehicleState, fields: Mapping[str, Any]) -> VehicleState:
    """Return ``default`` with the values in ``fields``. Raise ValueError for a wrong type or value."""
    at = datetime.fromisoformat(str(fields["at"])) if "at" in fields else default.at
    network, busy = fields.get("network", default.network), fields.get("busy", default.busy)
    if at.tzinfo is None:
        raise ValueError("at needs a UTC offset")
    if network is not None and network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}")
    if not isinstance(busy, str):
        raise ValueError("busy must be a string")
    booleans = {name: _boolean(name, fields[name]) for name in _BOOLEANS if name in fields}
    numbers = {name: _number(name, fields[name]) for name in _NUMBERS if name in fields}
    return replace(default, at=at, network=network, busy=busy[:_MAX_BUSY], **booleans, **numbers)


def _boolean(name: str, value: object) -> Any:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{name} must be true, false or null")
    return value


def _number(name: str, value: object) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number or null")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} is out of range") from error
