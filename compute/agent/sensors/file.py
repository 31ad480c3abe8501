"""`file:PATH`: another program writes the car's reading into a JSON file; replace the file, do not write into it."""

from __future__ import annotations

from pathlib import Path

from compute.agent.sensors.parse import fields_of, whole_reading
from compute.agent.sensors.state import NEVER, VehicleState, never


class FileSensors:
    """A file that is missing or wrong reads as never updated, so the policy calls it stale."""

    def __init__(self, path: Path) -> None:
        self.source = f"file:{path}"
        self._path = path

    def __call__(self) -> VehicleState:
        try:
            fields = fields_of(self._path.read_bytes())
            if "at" not in fields:
                raise ValueError("missing fields: at")
            return whole_reading(fields, NEVER)
        except FileNotFoundError:
            return never(f"{self._path.name} does not exist.")
        except (OSError, ValueError) as error:
            return never(f"{self._path.name} cannot be read: {error}.")

    def close(self) -> None:
        """Nothing is held."""
