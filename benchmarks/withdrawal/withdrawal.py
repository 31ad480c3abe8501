"""One withdrawal: wait for the middle of a unit, click, watch the work stop, and check that nothing follows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.models import ConsentRecord
from benchmarks.withdrawal.clicks import Click, Clicked
from benchmarks.withdrawal.fleet import Owned
from benchmarks.withdrawal.watch import STILL_NS, Child, Watch
from compute.models import Attempt, UsageRecord
from marketplace.local.embedded.process import EmbeddedError

POLL_S = 3.0
WORK_TIMEOUT_S = 1200.0  # until a car is given work again; all timeouts here allow for a slow and busy machine
PEACEFUL_UNITS = (0, 0, 1)  # units finished between two withdrawals (chosen at random), so that there are earnings
STOP_TIMEOUT_S = 120.0  # much longer than a lease lasts
LOOK_EVERY_S = 0.05
HOLD_S = 4.0  # how long the consent stays withdrawn after the stop: longer than a poll, and nothing may be leased
# A new child reads the same number of bytes at its start on any computer. A unit brings a model of megabytes, so a
# child that has read this much more was given work.
GIVEN_BYTES = 100_000


@dataclass
class Sample:
    """The figures of one withdrawal, in milliseconds from the click unless named otherwise."""

    carrier: str
    click: str
    car: str
    last_ms: float  # to the last instruction of the work
    answered_ms: float  # to the answer of the click
    recorded_ms: float  # to the time in the consent record
    told_ms: float  # to the time at which the link took the cancel to send it to the car
    agent_ms: float  # to the last instruction, by the agent's own status.json
    uncertainty_ms: float  # how much earlier the last instruction may have been
    was_killed: bool  # False: the unit had just ended by itself
    others_at_work: int
    wrong: list[str] = field(default_factory=list)


@dataclass
class Before:
    """What there was at the click."""

    children: list[Child]
    leased: list[int]
    usage: list[int]


class Withdrawal:
    """One withdrawal: create it for each click and call `run`. `over` ends waiting early."""

    def __init__(
        self,
        owned: Owned,
        click: Click,
        watch: Watch,
        *,
        carrier: str,
        over: threading.Event,
        at_work: Callable[[], int],
    ) -> None:
        self.owned, self.click, self.watch, self.carrier = owned, click, watch, carrier
        self._over, self._at_work = over, at_work

    def run(self) -> Sample:
        """Withdraw in the middle of a unit and give consent again. Return the figures.

        Raises EmbeddedError if the car is given no work, PortalError if a click is refused, Ended if the run is over.
        """
        self._work_in_peace(random.choice(PEACEFUL_UNITS))
        self.click.prepare()
        while True:
            self._wait("is at work", self._is_mid_unit, WORK_TIMEOUT_S)
            # A unit starts right after a sync. Wait a random time, so that the click falls anywhere between two polls.
            self._sleep(random.uniform(0.0, POLL_S))
            before = self._before()
            if self._is_mid_unit() and before.leased and _busy(before.children):
                break
        others = self._at_work() - 1
        clicked = self.click.now()
        self._wait("stops", lambda: self._has_stopped(clicked), STOP_TIMEOUT_S, fails=False)
        self._wait("says so", lambda: not self.owned.car.status().get("running"), STOP_TIMEOUT_S, fails=False)
        self._sleep(HOLD_S)
        sample = self._judge(clicked, before, others)
        self.owned.portal.decide(self.owned.vehicle_id, "given")
        return sample

    def _work_in_peace(self, units: int) -> None:
        done = self._units_done()
        self._wait("finishes a unit", lambda: self._units_done() >= done + units, WORK_TIMEOUT_S)

    def _units_done(self) -> int:
        return int(self.owned.car.status().get("counters", {}).get("ok", 0))

    def _is_mid_unit(self) -> bool:
        status = self.owned.car.status()
        return bool(status.get("running")) and status["carrier"] == self.carrier and status["pid"] == self.owned.pid

    def _before(self) -> Before:
        mine = {"vehicle": self.owned.car.vehicle}
        return Before(
            children=self.watch.look(self.owned.pid),
            leased=list(Attempt.objects.filter(status="leased", **mine).values_list("pk", flat=True)),
            usage=list(UsageRecord.objects.filter(attempt__status="valid", **mine).values_list("pk", flat=True)),
        )

    def _old_children(self, clicked: Clicked) -> list[Child]:
        return [child for child in self.watch.look(self.owned.pid) if child.seen_ns <= clicked.sent_ns]

    def _has_stopped(self, clicked: Clicked) -> bool:
        """Return whether every old child is gone, or idle for longer than a starved process would be."""
        return all(
            child.gone_ns or child.sampled_ns - child.moved_ns > 4 * STILL_NS for child in self._old_children(clicked)
        )

    def _judge(self, clicked: Clicked, before: Before, others: int) -> Sample:
        children = self.watch.look(self.owned.pid)
        last = max(self._old_children(clicked), key=lambda child: child.moved_ns)
        record = ConsentRecord.objects.filter(vehicle=self.owned.car.vehicle, purpose="run_jobs").latest("seq")
        attempts = Attempt.objects.filter(pk__in=before.leased)
        cancels = [attempt.cancel_sent_at for attempt in attempts if attempt.cancel_sent_at]
        status = self.owned.car.status()

        def since_click(at: datetime) -> float:
            return at.timestamp() * 1e3 - clicked.sent_unix_ns / 1e6

        return Sample(
            carrier=self.carrier,
            click=self.click.name,
            car=self.owned.car.spec.label,
            last_ms=(last.moved_ns - clicked.sent_ns) / 1e6,
            answered_ms=(clicked.answered_ns - clicked.sent_ns) / 1e6,
            recorded_ms=since_click(record.at),
            told_ms=since_click(min(cancels)) if cancels else 0.0,
            agent_ms=status["last_compute_unix_ms"] - clicked.sent_unix_ns / 1e6,
            uncertainty_ms=(last.moved_ns - last.before_ns) / 1e6,
            was_killed=any(attempt.status_code == "consent_withdrawn" for attempt in attempts) and bool(last.gone_ns),
            others_at_work=others,
            wrong=[*self._wrong_rows(record, before, list(attempts)), *self._wrong_work(clicked, children, status)],
        )

    def _wrong_rows(self, record: ConsentRecord, before: Before, attempts: list[Attempt]) -> list[str]:
        """Return what the database says that it must not say while consent is withdrawn."""
        wrong, mine = [], Attempt.objects.filter(vehicle=self.owned.car.vehicle)
        if (record.state, record.method) != ("withdrawn", self.click.method):
            wrong.append(f"the newest consent record is {record.state} by {record.method}")
        for attempt in attempts:
            ended_at = attempt.reported_at or attempt.ended_at
            is_cancelled = (attempt.status, attempt.status_code) == ("cancelled", "consent_withdrawn")
            if not is_cancelled and (ended_at is None or ended_at > record.at):
                wrong.append(f"attempt {attempt.pk} is {attempt.status} {attempt.status_code}")
        wrong += [f"attempt {pk} was leased afterwards" for pk in _ids(mine.filter(leased_at__gt=record.at))]
        wrong += [f"attempt {pk} is still leased" for pk in _ids(mine.filter(status="leased"))]
        if UsageRecord.objects.filter(pk__in=before.usage, attempt__status="valid").count() != len(before.usage):
            wrong.append("usage that was valid before is gone")
        return wrong

    def _wrong_work(self, clicked: Clicked, children: list[Child], status: dict[str, Any]) -> list[str]:
        """Return what the processes do that they must not do: old ones still run, or a new one was given work."""
        wrong = []
        if status.get("running"):
            wrong.append("the agent reports that it runs a unit")
        for child in children:
            is_old = child.seen_ns <= clicked.sent_ns
            if is_old and not child.gone_ns and child.sampled_ns - child.moved_ns < STILL_NS:
                wrong.append(f"process {child.pid} still works")
            elif not is_old and child.read_bytes > self.owned.start_bytes + GIVEN_BYTES:
                given = child.read_bytes - self.owned.start_bytes
                wrong.append(f"process {child.pid}, started after the click, was given {given} bytes")
        return wrong

    def _wait(self, what: str, condition: Callable[[], bool], timeout_s: float, *, fails: bool = True) -> None:
        until = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until:
                if fails:
                    raise EmbeddedError(f"{self.owned.car.spec.label}: not within {timeout_s:.0f} s: {what}")
                return
            self._sleep(LOOK_EVERY_S)

    def _sleep(self, seconds: float) -> None:
        """Sleep. Raises Ended if the run is over."""
        if self._over.wait(seconds):
            raise Ended


class Ended(Exception):
    """The run is over; the present withdrawal is dropped."""


def _busy(children: list[Child]) -> list[Child]:
    """Return the children that have executed something in the last quarter of a second."""
    return [child for child in children if not child.gone_ns and child.sampled_ns - child.moved_ns < STILL_NS]


def _ids(rows: Any) -> list[int]:
    return list(rows.values_list("pk", flat=True))
