"""What the car knows of itself. Only the policy's verdict leaves the vehicle, never these readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

NETWORKS = ("wifi", "cellular", "ethernet", "none")
LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class VehicleState:
    """One reading; ``at`` is when the car took it. None is "the car does not say", and never means yes.

    ``busy`` says what the car does with itself ("a software update"), "" for nothing. ``note`` says why there is no
    fresh reading, ``fault`` what in it makes no sense. No field holds a place, a speed or a trip.
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
    """No reading at all: the policy calls it stale, and ``note`` says why."""
    return VehicleState(at=LONG_AGO, note=note)


NEVER = never()


class Sensors(Protocol):
    """A source of readings. `source` names it for people and holds no secret."""

    source: str

    def __call__(self) -> VehicleState:
        """The latest reading, at once: a source that has to wait for something waits elsewhere."""
        ...

    def close(self) -> None: ...
