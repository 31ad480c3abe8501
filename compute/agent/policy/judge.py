"""Asks the owner's rules, with the car's reading and what was counted, and keeps the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from compute.agent.policy import READY, Availability, Usage, evaluate
from compute.agent.sensors import NEVER, Sensors, VehicleState
from compute.agent.state.clock import zone_or_utc
from compute.agent.state.usage import Figures, Traffic, UsageBook
from compute.protocol import Policy

# A gap longer than this between two looks is a computer that slept, not one that worked.
_MAX_STEP_S = 10.0


class Judge:
    """`verdict`, `reading` and `figures` are those of the last `look`."""

    def __init__(
        self,
        *,
        policy: Policy,
        sensors: Sensors,
        book: UsageBook,
        traffic: Traffic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.policy = policy
        self.verdict: Availability = READY
        self.reading: VehicleState = NEVER
        self.source = sensors.source
        self._sensors, self._book, self._traffic, self._now = sensors, book, traffic, now
        self._looked_s = time.monotonic()
        self._was_running = False
        self.figures: Figures = book.figures(now(), zone_or_utc(policy.time_zone))

    def look(self, *, is_running: bool, is_working: bool) -> Availability:
        """The verdict of now. ``is_running``: a unit uses the processor; ``is_working``: one has begun and not ended."""
        now = self._now()
        self.reading = self._sensors()
        self._count(now, is_running)
        usage = Usage(
            mobile_bytes=self.figures.sent_bytes + self.figures.received_bytes,
            work_s=self.figures.work_ms / 1000,
            is_working=is_working,
        )
        self.verdict = evaluate(self.policy, self.reading, now, self.verdict, usage)
        return self.verdict

    def close(self) -> None:
        """What was counted is on disk when this returns."""
        self._count(self._now(), self._was_running)
        self._book.flush()
        self._sensors.close()

    def _count(self, now: datetime, is_running: bool) -> None:
        step_s = time.monotonic() - self._looked_s
        self._looked_s += step_s
        work_ms = round(step_s * 1000) if self._was_running and step_s <= _MAX_STEP_S else 0
        self._was_running = is_running
        # Until it is known, the network may be one that costs.
        sent, received = self._traffic.take()
        if self.reading.network in ("wifi", "ethernet"):
            sent = received = 0
        where = zone_or_utc(self.policy.time_zone)
        self._book.count(now, where, sent=sent, received=received, work_ms=work_ms)
        self.figures = self._book.figures(now, where)
