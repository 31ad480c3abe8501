"""Usage counted for the owner's caps: mobile data by month and working time by day, in the owner's local time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from compute.agent.state.store import Store

# Overhead of TCP, IP and TLS on the counted bytes, in percent.
_OVERHEAD_PERCENT = 5
# A power failure loses at most this much of the counts: ten seconds or a megabyte.
_FLUSH_S = 10.0
_FLUSH_BYTES = 1_000_000
_KEPT = {"sent": timedelta(days=62), "received": timedelta(days=62), "work_ms": timedelta(days=31)}


class Traffic:
    """Counter of the bytes on the agent's own connections. Every carrier adds to it."""

    def __init__(self) -> None:
        self._sent = self._received = 0

    def add(self, *, sent: int = 0, received: int = 0) -> None:
        self._sent += sent
        self._received += received

    def take(self) -> tuple[int, int]:
        """Return (bytes sent, bytes received) since the last call, with the overhead of the network layers."""
        counted = self._sent, self._received
        self._sent = self._received = 0
        return counted[0] * (100 + _OVERHEAD_PERCENT) // 100, counted[1] * (100 + _OVERHEAD_PERCENT) // 100


@dataclass(frozen=True)
class Figures:
    """The sums of one local month ("2026-11") and one local day ("2026-11-24")."""

    month: str
    sent_bytes: int
    received_bytes: int
    day: str
    work_ms: int


class UsageBook:
    """Counts that survive restarts. Counts of old periods are deleted."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._pending: Counter[tuple[str, str]] = Counter()
        self._flushed_s = clock()
        self._pruned_on = ""

    def count(self, now: datetime, where: tzinfo, *, sent: int = 0, received: int = 0, work_ms: int = 0) -> None:
        """Add bytes and milliseconds to the month and day of ``now`` in the time zone ``where``."""
        month, day = _periods(now, where)
        self._pending.update({("sent", month): sent, ("received", month): received, ("work_ms", day): work_ms})
        waiting = sum(amount for (kind, _), amount in self._pending.items() if kind != "work_ms")
        if self._clock() - self._flushed_s >= _FLUSH_S or waiting >= _FLUSH_BYTES:
            self.flush()
            self._prune(now, where)

    def figures(self, now: datetime, where: tzinfo) -> Figures:
        """Return the sums of the month and day of ``now`` in the time zone ``where``."""
        month, day = _periods(now, where)
        return Figures(month, self._sum("sent", month), self._sum("received", month), day, self._sum("work_ms", day))

    def flush(self) -> None:
        """Write to disk what was counted since the last call."""
        self._store.add_usage({key: amount for key, amount in self._pending.items() if amount})
        self._pending.clear()
        self._flushed_s = self._clock()

    def _sum(self, kind: str, period: str) -> int:
        return self._store.usage(kind, period) + self._pending[kind, period]

    def _prune(self, now: datetime, where: tzinfo) -> None:
        day = _periods(now, where)[1]
        if day == self._pruned_on:
            return
        self._pruned_on = day
        for kind, kept in _KEPT.items():
            self._store.prune_usage(kind, before=_periods(now - kept, where)[kind == "work_ms"])


def _periods(now: datetime, where: tzinfo) -> tuple[str, str]:
    local = now.astimezone(where)
    return f"{local:%Y-%m}", f"{local:%Y-%m-%d}"
