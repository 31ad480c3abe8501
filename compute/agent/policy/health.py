"""What is told of the computer's health, and only while the owner shares it for reliability."""

from __future__ import annotations

from typing import Literal

from compute.agent.policy.judge import Judge
from compute.agent.state.store import Store
from compute.protocol import Health

PURPOSE = "reliability"
Band = Literal["cool", "warm", "hot"]


class HealthTeller:
    """Tells each failed unit once: what an answered sync has told, or what fell in a time that was not shared, is over."""

    def __init__(self, store: Store, judge: Judge) -> None:
        self._store, self._judge = store, judge
        self._is_shared = False
        self._failed = 0
        self._health: Health | None = None

    def tell(self) -> Health | None:
        """For the sync that is being built; the next `answered` is about the last one built."""
        self._failed = self._store.totals().error
        band = self._band() if self._is_shared else None
        self._health = Health(band=band, units_failed=self._failed - self._store.failures_told()) if band else None
        return self._health

    def answered(self, share: tuple[str, ...]) -> None:
        """The server has taken the sync, and says what may be told from now on."""
        if self._health is not None or not self._is_shared:
            self._store.set_failures_told(self._failed)
        self._is_shared = PURPOSE in share

    def _band(self) -> Band | None:
        """The heat relative to the owner's limits; None when the reading is not to be trusted."""
        heat, policy = self._judge.reading.temperature_c, self._judge.policy
        if heat is None or self._judge.verdict.code in ("sensor_stale", "sensor_absurd"):
            return None
        if heat > policy.heat_stop_c:
            return "hot"
        return "warm" if heat > policy.heat_resume_c else "cool"
