"""Processor seconds by process, and the spread of a list of figures. Everything here is free while a round runs."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

QUIET = 0.06  # our own idle processes are below it
OTHERS = "other processes"


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


def wait_for_quiet(timeout_s: float) -> float:
    """Wait, at most so long, until the machine does next to nothing; the busy share (0-1) of its last second."""
    deadline = time.monotonic() + timeout_s
    while True:
        busy = psutil.cpu_percent(interval=1.0) / 100
        if busy < QUIET or time.monotonic() > deadline:
            return busy


def quantile(values: Sequence[float], q: float) -> float:
    """Nearest rank. `values` need not be sorted; not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class CpuWatch:
    """Processor seconds since it was made: of named processes with their children, and of the rest of the machine.

    `roots` are process ids by name. `named` says what each of PostgreSQL's processes works for (see `ours.backends`); it
    is asked again at the end, since sessions come and go. What has ended meanwhile counts for its root's name + " (ended)".
    """

    def __init__(self, roots: dict[str, int], named: Callable[[], dict[int, str]] = dict) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in roots.items()}
        self._named = named
        self._names = named()
        self._before = self._snapshot()
        self._machine = _machine_seconds()

    def read(self) -> dict[str, float]:
        """Seconds by name, most first; OTHERS is what the rest of the machine used meanwhile."""
        self._names |= self._named()
        now = self._snapshot()
        used: dict[str, float] = {}
        for key, (name, seconds) in now.items():
            used[name] = used.get(name, 0.0) + max(0.0, seconds - self._before.get(key, (name, 0.0))[1])
        # A child that ended was moved from its own row, which is gone, to its root's row of ended children.
        for key, (name, seconds) in self._before.items():
            if key not in now:
                ended = f"{name.split(' for ')[0]} (ended)"
                used[ended] = max(0.0, used.get(ended, 0.0) - seconds)
        rest = _machine_seconds() - self._machine - sum(used.values())
        ordered = dict(sorted(used.items(), key=lambda item: -item[1]))
        return {**ordered, OTHERS: max(0.0, rest)}

    def _snapshot(self) -> dict[tuple[int, bool], tuple[str, float]]:
        """(pid, whether of ended children) -> (name, seconds since it began)."""
        found = {}
        for name, root in self._roots.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = root.cpu_times()
                found[root.pid, True] = (f"{name} (ended)", times.children_user + times.children_system)
                for process in (root, *root.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        used = process.cpu_times()
                        found[process.pid, False] = (self._names.get(process.pid, name), used.user + used.system)
        return found


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
