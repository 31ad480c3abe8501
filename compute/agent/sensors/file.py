"""`file:PATH`: another program writes the car's reading to a JSON file. It must replace the file atomically."""

from __future__ import annotations

from pathlib import Path

from compute.agent.sensors.json_readings import complete_reading, parse_fields
from compute.agent.sensors.state import NEVER, VehicleState, never


class FileSensors:
    """Readings from a file. A missing or invalid file counts as never updated, so the policy calls it stale."""

    def __init__(self, path: Path) -> None:
        self.source = f"file:{path}"
        self._path = path

    def __call__(self) -> VehicleState:
        try:
            fields = parse_fields(self._path.read_bytes())
            if "at" not in fields:
                raise ValueError("missing fields: at")
            return complete_reading(fields, NEVER)
        except FileNotFoundError:
            return never(f"{self._path.name} does not exist.")
        except (OSError, ValueError) as error:
            return never(f"{self._path.name} cannot be read: {error}.")

    def close(self) -> None:
        """Do nothing: no resource is held."""
