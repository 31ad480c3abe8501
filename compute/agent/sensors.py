"""What the car knows of itself. Only the policy's verdict leaves the vehicle, never these readings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compute.agent.errors import AgentError

Sensors = Callable[[], "VehicleState"]
NETWORKS = ("wifi", "cellular", "ethernet", "none")
OVERRIDES_FILE = "sensors.json"


@dataclass(frozen=True)
class VehicleState:
    """One reading; ``at`` is when the car took it."""

    at: datetime
    parked: bool = True
    plugged_in: bool = True
    charge_percent: float = 80.0
    network: str = "wifi"
    temperature_c: float = 25.0


NEVER = VehicleState(at=datetime.fromtimestamp(0, UTC))


def open_sensors(name: str, state: Path) -> Sensors:
    """``simulated`` (a parked, plugged-in car; ``state/sensors.json`` overrides fields) or ``file:PATH``.

    The file of ``file:PATH`` is JSON with every field of VehicleState, ``at`` as ISO 8601. A file that is
    missing or wrong reads as never updated, so the policy calls it stale. Raises AgentError
    (sensors_unknown).
    """
    if name == "simulated":
        return lambda: _simulated(state / OVERRIDES_FILE)
    if name.startswith("file:") and len(name) > len("file:"):
        path = Path(name.removeprefix("file:"))
        return lambda: _from_file(path)
    raise AgentError("sensors_unknown", f'Unknown sensors "{name}": use simulated or file:PATH.')


def _simulated(overrides: Path) -> VehicleState:
    now = datetime.now(UTC)
    if not overrides.exists():
        return VehicleState(at=now)
    try:
        return _parse(_read(overrides), VehicleState(at=now))
    except (OSError, ValueError):
        return NEVER


def _from_file(path: Path) -> VehicleState:
    try:
        fields = _read(path)
        if missing := set(VehicleState.__dataclass_fields__) - set(fields):
            raise ValueError(f"missing fields: {sorted(missing)}")
        return _parse(fields, NEVER)
    except (OSError, ValueError):
        return NEVER


def _read(path: Path) -> dict[str, Any]:
    fields = json.loads(path.read_bytes())
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return fields


def _parse(fields: Mapping[str, Any], default: VehicleState) -> VehicleState:
    """``default`` with what ``fields`` say. Raises ValueError on a wrong type."""
    at = datetime.fromisoformat(str(fields["at"])) if "at" in fields else default.at
    network = fields.get("network", default.network)
    if at.tzinfo is None or network not in NETWORKS:
        raise ValueError("a reading needs a time with its offset, and a known network")
    return VehicleState(
        at=at,
        parked=_boolean(fields, "parked", default.parked),
        plugged_in=_boolean(fields, "plugged_in", default.plugged_in),
        charge_percent=_number(fields, "charge_percent", default.charge_percent),
        network=network,
        temperature_c=_number(fields, "temperature_c", default.temperature_c),
    )


def _boolean(fields: Mapping[str, Any], name: str, default: bool) -> bool:
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")
    return value


def _number(fields: Mapping[str, Any], name: str, default: float) -> float:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number")
    return float(value)
