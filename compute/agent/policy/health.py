"""Health reports about the computer, sent only while the owner consents to the purpose "reliability"."""

from __future__ import annotations

from typing import Literal

from compute.agent.policy.judge import Judge
from compute.agent.state.store import Store
from compute.protocol import Health

PURPOSE = "reliability"
Band = Literal["cool", "warm", "hot"]


class HealthReporter:
    """Counts the failed units to report, each one once.

    A failure is done with when an answered sync has reported it, or when it happened while health was not shared.
    """

    def __init__(self, store: Store, judge: Judge) -> None:
        self._store, self._judge = store, judge
        self._is_shared = False
        self._failed = 0
        self._health: Health | None = None

    def next_report(self) -> Health | None:
        """Return the health for the sync being built, None if it is not shared. `answered` refers to the last call."""
        self._failed = self._store.totals().error
        band = self._band() if self._is_shared else None
        self._health = Health(band=band, units_failed=self._failed - self._store.failures_told()) if band else None
        return self._health

    def answered(self, share: tuple[str, ...]) -> None:
        """Note that the server took the sync, and whether ``share`` lets health be reported from now on."""
        if self._health is not None or not self._is_shared:
            self._store.set_failures_told(self._failed)
        self._is_shared = PURPOSE in share

    def _band(self) -> Band | None:
        """Return the temperature relative to the owner's limits, None when the reading cannot be trusted."""
        heat, policy = self._judge.reading.temperature_c, self._judge.policy
        if heat is None or self._judge.verdict.code in ("sensor_stale", "sensor_absurd"):
            return None
        if heat > policy.heat_stop_c:
            return "hot"
        return "warm" if heat > policy.heat_resume_c else "cool"
