"""Energy of one unit in whole milliwatt-hours: from the processor's counter (RAPL), else modelled.

Small units use less than one milliwatt-hour. What rounding takes or gives is carried, in microwatt-hours, to
the vehicle's next record, so that the sum over records never strays from the true sum by more than half a
milliwatt-hour.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

RAPL = Path("/sys/class/powercap/intel-rapl:0")
_UJ_PER_UWH = 3600
_MS_PER_HOUR = 3_600_000
Method = Literal["rapl", "model"]


@dataclass(frozen=True)
class Reading:
    """The processor package's energy counter, and how long its processors were busy, at one instant."""

    energy_uj: int
    busy_s: float


class EnergyMeter:
    """Reads RAPL where it is readable and moving, else multiplies ``power_mw`` by compute time."""

    def __init__(self, power_mw: int, *, rapl: Path = RAPL) -> None:
        self._power_mw = power_mw
        self._rapl = rapl
        self._range_uj = 0
        self.method: Method = "rapl" if self._moves() else "model"

    def start(self) -> Reading | None:
        return self._read() if self.method == "rapl" else None

    def finish(self, start: Reading | None, *, cpu_us: int) -> tuple[int, Method]:
        """Microwatt-hours since ``start``, and how they were found.

        The counter covers the whole package, so a unit is charged by its share of all busy processor time.
        """
        end = self._read() if start is not None else None
        if start is None or end is None:
            return round_half_up(self._power_mw * cpu_us, _MS_PER_HOUR), "model"
        used_uj = end.energy_uj - start.energy_uj
        if used_uj < 0:
            used_uj += self._range_uj
        busy_us = max((end.busy_s - start.busy_s) * 1e6, float(cpu_us), 1.0)
        return round(used_uj / _UJ_PER_UWH * cpu_us / busy_us), "rapl"

    def _moves(self) -> bool:
        try:
            self._range_uj = int((self._rapl / "max_energy_range_uj").read_text())
            before = int((self._rapl / "energy_uj").read_text())
            time.sleep(0.02)
            return int((self._rapl / "energy_uj").read_text()) != before
        except (OSError, ValueError):
            return False

    def _read(self) -> Reading | None:
        try:
            energy_uj = int((self._rapl / "energy_uj").read_text())
        except (OSError, ValueError):
            return None
        times = psutil.cpu_times()
        return Reading(energy_uj, times.user + times.system)


def to_mwh(energy_uwh: int, carry_uwh: int) -> tuple[int, int]:
    """Whole milliwatt-hours (half up, never negative) of a unit plus the carry, and the new carry."""
    total = energy_uwh + carry_uwh
    energy_mwh = max(0, round_half_up(total, 1000))
    return energy_mwh, total - energy_mwh * 1000


def round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
