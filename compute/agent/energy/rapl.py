"""RAPL: the energy counters of all processor packages, in /sys/class/powercap (usually readable by root only)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from compute.agent.energy.counter import CounterError, Method, Share

_PACKAGE = re.compile(r"intel-rapl:\d+")
_MOVES_WITHIN_S = 0.02


class Rapl:
    """The sum over all packages ("package-0", "package-1", ...).

    Sub-zones are parts of a package and "psys" includes all packages, so neither is added.
    """

    method: Method = "rapl"
    share: Share = "busy"

    def __init__(self, sys: Path, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Find the packages under ``sys``.

        Raise CounterError if there is none, or one is unreadable or does not count.
        """
        self._total_uj = 0
        self._zones = [_Zone(folder) for folder in _packages(sys)]
        if not self._zones:
            raise CounterError("no RAPL package")
        pause(_MOVES_WITHIN_S)
        if not self.read_uj():
            raise CounterError("the RAPL counter does not change")

    def read_uj(self) -> float:
        self._total_uj += sum(zone.step_uj() for zone in self._zones)
        return self._total_uj

    def begin(self) -> None:
        """Do nothing: the hardware counts all the time."""

    def end(self) -> None:
        """Do nothing: the hardware counts all the time."""


class _Zone:
    def __init__(self, folder: Path) -> None:
        self._energy = folder / "energy_uj"
        self._range_uj = _number(folder / "max_energy_range_uj")
        self._last_uj = _number(self._energy)

    def step_uj(self) -> int:
        """Return the microjoules since the last call. A counter that is lower than before has wrapped around once."""
        before, self._last_uj = self._last_uj, _number(self._energy)
        step = self._last_uj - before
        return step if step >= 0 else step + self._range_uj


def _packages(sys: Path) -> list[Path]:
    folder = sys / "class" / "powercap"
    try:
        zones = sorted(zone for zone in folder.iterdir() if _PACKAGE.fullmatch(zone.name))
        return [zone for zone in zones if (zone / "name").read_text(encoding="ascii").startswith("package")]
    except (OSError, ValueError):
        return []


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise CounterError(f"{path} cannot be read") from error
