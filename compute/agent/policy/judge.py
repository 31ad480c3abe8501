"""Evaluate the owner's rules on the car's reading and the counted usage, and keep the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from compute.agent.policy import READY, Availability, Usage, evaluate
from compute.agent.sensors import NEVER, Sensors, VehicleState
from compute.agent.state.clock import zone_or_utc
from compute.agent.state.usage import Figures, Traffic, UsageBook
from compute.protocol import Policy

# A longer gap between two calls means that the computer slept; it does not count as work.
_MAX_STEP_S = 10.0


class Judge:
    """The owner's rules with their inputs. `verdict`, `reading` and `figures` are those of the last `evaluate`."""

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

    def evaluate(self, *, is_running: bool, is_working: bool) -> Availability:
        """Evaluate the rules now and return the verdict.

        ``is_running``: a unit uses the processor. ``is_working``: a unit has begun and has not ended.
        """
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
        """Write all counts to disk and close the sensors."""
        self._count(self._now(), self._was_running)
        self._book.flush()
        self._sensors.close()

    def _count(self, now: datetime, is_running: bool) -> None:
        step_s = time.monotonic() - self._looked_s
        self._looked_s += step_s
        work_ms = round(step_s * 1000) if self._was_running and step_s <= _MAX_STEP_S else 0
        self._was_running = is_running
        # Only Wi-Fi and Ethernet are free of charge. An unknown network counts as mobile data.
        sent, received = self._traffic.take()
        if self.reading.network in ("wifi", "ethernet"):
            sent = received = 0
        time_zone = zone_or_utc(self.policy.time_zone)
        self._book.count(now, time_zone, sent=sent, received=received, work_ms=work_ms)
        self.figures = self._book.figures(now, time_zone)
