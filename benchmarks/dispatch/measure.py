"""Processor seconds by process, and the spread of several figures. Nothing here runs while a round is timed."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

QUIET = 0.06  # busy share of the machine; our own idle processes stay below it
OTHERS = "other processes"


@dataclass(frozen=True)
class Spread:
    """The smallest, the median and the largest of several figures."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), statistics.median(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:,.0f} ({self.low:,.0f}-{self.high:,.0f})"


def wait_for_quiet(timeout_s: float) -> float:
    """Wait until the machine is nearly idle, at most `timeout_s`. Return the busy share (0 to 1) of its last second."""
    deadline = time.monotonic() + timeout_s
    while True:
        busy = psutil.cpu_percent(interval=1.0) / 100
        if busy < QUIET or time.monotonic() > deadline:
            return busy


def quantile(values: Sequence[float], q: float) -> float:
    """Return the quantile `q` (0 to 1) by the nearest rank. `values` may be unsorted but not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class CpuWatch:
    """Processor seconds since it was created: of named processes with their children, and of the rest of the machine.

    `roots` are process ids by name. `named` returns what each process of PostgreSQL works for (see `ours.backends`); it
    is called again at the end, since sessions come and go. A child that ended meanwhile counts as its root's name + "
    (ended)".
    """

    def __init__(self, roots: dict[str, int], named: Callable[[], dict[int, str]] = dict) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in roots.items()}
        self._named = named
        self._names = named()
        self._before = self._snapshot()
        self._machine = _machine_seconds()

    def read(self) -> dict[str, float]:
        """Return seconds by name, the most first. OTHERS is what the rest of the machine used."""
        self._names |= self._named()
        now = self._snapshot()
        used: dict[str, float] = {}
        for key, (name, seconds) in now.items():
            used[name] = used.get(name, 0.0) + max(0.0, seconds - self._before.get(key, (name, 0.0))[1])
        # The seconds of a child that ended are now in its root's row of ended children: subtract what it had used
        # before.
        for key, (name, seconds) in self._before.items():
            if key not in now:
                ended = f"{name.split(' for ')[0]} (ended)"
                used[ended] = max(0.0, used.get(ended, 0.0) - seconds)
        rest = _machine_seconds() - self._machine - sum(used.values())
        ordered = dict(sorted(used.items(), key=lambda item: -item[1]))
        return {**ordered, OTHERS: max(0.0, rest)}

    def _snapshot(self) -> dict[tuple[int, bool], tuple[str, float]]:
        """Return (process id, whether it counts ended children) -> (name, seconds since the process began)."""
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
