"""`simulated`: a parked, plugged-in car on Wi-Fi. `sensors.json` in the state folder overrides its values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from compute.agent.sensors.json_readings import override_reading, parse_fields
from compute.agent.sensors.state import LONG_AGO, VehicleState, never

OVERRIDES_FILE = "sensors.json"
PARKED = VehicleState(
    at=LONG_AGO, parked=True, plugged_in=True, charging=False, charge_percent=80.0, network="wifi", temperature_c=25.0
)


class SimulatedSensors:
    """Readings of the car PARKED, taken now, with the overrides of the file."""

    def __init__(self, state: Path) -> None:
        self.source = "simulated"
        self._overrides = state / OVERRIDES_FILE

    def __call__(self) -> VehicleState:
        parked = replace(PARKED, at=datetime.now(UTC))
        try:
            return override_reading(parked, parse_fields(self._overrides.read_bytes()))
        except FileNotFoundError:
            return parked
        except (OSError, ValueError) as error:
            return never(f"{OVERRIDES_FILE} cannot be read: {error}.")

    def close(self) -> None:
        """Do nothing: no resource is held."""
