"""Processor seconds by process, and the spread of a list of figures. Everything here is free while a round runs."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Spread:
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), statistics.median(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:,.0f} ({self.low:,.0f}-{self.high:,.0f})"


def quantile(values: Sequence[float], q: float) -> float:
    """Nearest rank. `values` need not be sorted; not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class CpuWatch:
    """Processor seconds since it was made: by name, for processes with their children, and for the machine.

    `names` maps a process id to its name; PostgreSQL's backends are named after their `application_name` (see `backends`).
    """

    def __init__(self, roots: dict[str, int], backends: dict[int, str]) -> None:
        self._processes: list[tuple[str, psutil.Process]] = []
        for name, pid in roots.items():
            root = psutil.Process(pid)
            children = root.children(recursive=True)
            self._processes += [(name, process) for process in (root, *children)]
        for index, (_, process) in enumerate(self._processes):
            if process.pid in backends:
                self._processes[index] = (backends[process.pid], process)
        self._before = [_seconds(process) for _, process in self._processes]
        self._machine = _machine_seconds()

    def read(self) -> dict[str, float]:
        """Seconds by name, most first; "other" is what the rest of the machine used meanwhile."""
        used: dict[str, float] = {}
        for (name, process), before in zip(self._processes, self._before, strict=True):
            used[name] = used.get(name, 0.0) + max(0.0, _seconds(process) - before)
        rest = _machine_seconds() - self._machine - sum(used.values())
        ordered = dict(sorted(used.items(), key=lambda item: -item[1]))
        return {**ordered, "other processes": max(0.0, rest)}


def _seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
