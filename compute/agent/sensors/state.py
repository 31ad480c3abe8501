"""A reading of the car's sensors. Only the policy's verdict leaves the vehicle, never these readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

NETWORKS = ("wifi", "cellular", "ethernet", "none")
LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class VehicleState:
    """One reading. ``at`` is the time when the car took it. None means that the car does not report the value.

    ``busy`` names what the car is occupied with ("a software update"), "" for nothing. ``note`` says why there is no
    fresh reading, ``fault`` which value in it is impossible. No field holds a position, a speed or a trip.
    """

    at: datetime
    parked: bool | None = None
    plugged_in: bool | None = None
    charging: bool | None = None
    charge_percent: float | None = None
    network: str | None = None
    temperature_c: float | None = None
    solar: bool | None = None
    price_micro_per_kwh: float | None = None
    busy: str = ""
    note: str = ""
    fault: str = ""


def never(note: str = "") -> VehicleState:
    """Return a reading without values. The policy calls it stale; ``note`` gives the reason."""
    return VehicleState(at=LONG_AGO, note=note)


NEVER = never()


class Sensors(Protocol):
    """A source of readings. `source` is its name for people; it contains no secret."""

    source: str

    def __call__(self) -> VehicleState:
        """Return the latest reading without blocking. A source that has to wait does so in another thread."""
        ...

    def close(self) -> None: ...
