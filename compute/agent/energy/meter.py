"""Energy of one unit: its share of the counted energy while it ran, or a model from its compute time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from compute.agent.energy.counter import Counter, CounterError, Method
from compute.agent.energy.rounding import round_half_up

_UJ_PER_UWH = 3600
_MS_PER_HOUR = 3_600_000


@dataclass(eq=False)
class Reading:
    """The counter and the busy processor time at a unit's start, and the energy assigned to the unit since then."""

    energy_uj: float
    busy_s: float
    billed_uj: float = 0.0


def busy_s() -> float:
    """Return the seconds for which all processors of this computer have been busy (user and system), added up."""
    times = psutil.cpu_times()
    return float(times.user + times.system)


class EnergyMeter:
    """A meter for units that may overlap. Call `start` and `finish` around each unit, always in the same thread.

    A processor's or a board's counter covers everything that runs on the computer, so a unit gets its share of all busy
    processor time. A GPU's counter is divided evenly between the units that run at the same time.
    """

    def __init__(self, power_mw: int, counter: Counter | None = None, *, busy: Callable[[], float] = busy_s) -> None:
        self._power_mw, self._counter, self._busy = power_mw, counter, busy
        self._open: list[Reading] = []
        self._billed_to_uj = 0.0
        self.method: Method = counter.method if counter is not None else "model"

    def start(self) -> Reading | None:
        """Return the state at a unit's start for `finish`, or None when the energy cannot be measured."""
        if self._counter is None:
            return None
        if not self._open:
            self._counter.begin()
        try:
            energy_uj = self._bill()
        except CounterError:
            if not self._open:
                self._counter.end()
            return None
        reading = Reading(energy_uj, self._busy())
        self._open.append(reading)
        return reading

    def finish(self, start: Reading | None, *, cpu_us: int) -> tuple[int, Method]:
        """Return (microwatt-hours since ``start``, method). The method is "model" if the counter failed meanwhile.

        ``cpu_us`` is the processor time of the unit in microseconds.
        """
        used_uj = None if start is None else self._used_uj(start, cpu_us)
        if used_uj is None:
            return round_half_up(self._power_mw * cpu_us, _MS_PER_HOUR), "model"
        return round(used_uj / _UJ_PER_UWH), self.method

    def _used_uj(self, start: Reading, cpu_us: int) -> float | None:
        assert self._counter is not None
        try:
            energy_uj = self._bill()
        except CounterError:
            return None
        finally:
            self._open.remove(start)
            if not self._open:
                self._counter.end()
        if self._counter.share == "present":
            return start.billed_uj
        busy_us = max((self._busy() - start.busy_s) * 1e6, float(cpu_us), 1.0)
        return (energy_uj - start.energy_uj) * cpu_us / busy_us

    def _bill(self) -> float:
        """Divide the energy since the last call evenly between the open readings. Return the counter in microjoules."""
        assert self._counter is not None
        energy_uj = self._counter.read_uj()
        for reading in self._open:
            reading.billed_uj += (energy_uj - self._billed_to_uj) / len(self._open)
        self._billed_to_uj = energy_uj
        return energy_uj
