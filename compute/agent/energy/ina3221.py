"""INA3221: the power sensors of a Jetson board, read through hwmon (docs.kernel.org/hwmon/ina3221)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compute.agent.energy.counter import CounterError, Integral, Method, Share

_CHANNELS = (1, 2, 3)
# Rails that supply the whole board. The other rails are parts of these and must not be added to them.
_TOTALS = ("VDD_IN", "POM_5V_IN", "VDD_5V_IN")


@dataclass(frozen=True)
class Rail:
    """One supply rail: its label and its two files in /sys."""

    label: str
    millivolts: Path
    milliamperes: Path

    def power_mw(self) -> float:
        return _number(self.millivolts) * _number(self.milliamperes) / 1000


class Ina3221(Integral):
    """The board's power, sampled while a unit runs: its input rail if that is measured, else the sum of all rails."""

    method: Method = "ina3221"

    def __init__(self, sys: Path, *, share: Share = "busy") -> None:
        """Find the rails under ``sys``. Raise CounterError when there is none or when they show no power."""
        self.share: Share = share
        rails = _rails(sys)
        totals = [rail for rail in rails if rail.label in _TOTALS]
        self.rails = totals[:1] or rails
        super().__init__(self._board_mw)
        if not self.rails or self._board_mw() <= 0:
            raise CounterError("no INA3221 rail")

    def _board_mw(self) -> float:
        return sum(rail.power_mw() for rail in self.rails)


def _rails(sys: Path) -> list[Rail]:
    """Return the channels of all chips that are labelled and enabled."""
    try:
        chips = sorted((sys / "class" / "hwmon").iterdir())
    except OSError:
        return []
    return [rail for chip in chips if _text(chip / "name") == "ina3221" for rail in _channels(chip)]


def _channels(chip: Path) -> list[Rail]:
    return [
        Rail(label, chip / f"in{number}_input", chip / f"curr{number}_input")
        for number in _CHANNELS
        if (label := _text(chip / f"in{number}_label")) and label != "NC" and _text(chip / f"in{number}_enable") != "0"
        if (chip / f"curr{number}_input").exists()
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise CounterError(f"{path} cannot be read") from error
