"""The held leases as asyncio tasks: accept them, stop them at once on demand, end each with a record or without one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from compute.agent.energy import EnergyMeter
from compute.agent.state.store import Store
from compute.agent.work import leases
from compute.agent.work.blobs import Blobs
from compute.agent.work.leases import HeldLease, Key, LeaseBook, key_of
from compute.agent.work.meter import EndedLease, Recorder
from compute.agent.work.work import SlotPool, Worker
from compute.protocol import Cancel, Lease, Renewal

log = logging.getLogger(__name__)
_AGAIN_S = 0.2


class Workload:
    """All held leases and their tasks.

    ``on_change`` is called when the shown state changes, ``on_report`` when a report waits to be sent. `failed` gets
    the exception of an error that is not the fault of one unit, for instance a store that cannot be written.
    """

    def __init__(
        self,
        *,
        blobs: Blobs,
        bench: SlotPool,
        energy: EnergyMeter,
        store: Store,
        recorder: Recorder,
        on_change: Callable[[], None],
        on_report: Callable[[], None],
    ) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.last_compute_unix_ms = 0
        self._worker = Worker(blobs=blobs, bench=bench, energy=energy, on_start=self._started, on_stop=self._stopped)
        self._bench, self._store, self._recorder = bench, store, recorder
        self._on_change, self._on_report = on_change, on_report
        self._book = LeaseBook()
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._refusal = ""

    def __len__(self) -> int:
        return len(self._book)

    def running(self) -> list[HeldLease]:
        """Return the leases whose units use the processor now, the longest running first."""
        started = (held for held in self._book.held() if held.started_unix_ms)
        return sorted(started, key=lambda held: held.started_unix_ms)

    @property
    def has_begun(self) -> bool:
        """Whether a unit has begun and not ended; one whose result is still being uploaded has not ended."""
        return any(held.has_begun for held in self._book.held())

    def renewals(self) -> tuple[Renewal, ...]:
        return self._book.renewals()

    def renewed(self, renewals: Iterable[Renewal], sent_s: float, lease_s: float) -> None:
        self._book.renewed(renewals, sent_s, lease_s)

    def take(self, cancels: Iterable[Cancel], offered: Iterable[Lease]) -> None:
        """Carry out cancels, then accept new leases. Known and invalid leases are ignored."""
        for cancel in cancels:
            self._cancel(cancel)
        for lease in offered:
            if problem := leases.lease_fault(lease):
                log.error("A lease was ignored: %s.", problem)
            elif not self._store.has_report(lease.attempt, lease.fence):
                self._accept(lease)

    def refuse(self, code: str, *, may_finish: bool = False) -> None:
        """Give back all leases with this reason code and remove customers' models; "" means: accept work again.

        With ``may_finish``, units that have begun may end first.
        """
        self._refusal = code
        if not code:
            return
        for held in self._book.held():
            if not (may_finish and held.has_begun):
                self._stop(held, code)
        if not self._tasks:
            self._bench.wipe()

    def tick(self, now_s: float) -> None:
        """Drop expired leases and cancel stopped ones again. Call it once a second."""
        for held in self._book.expired(now_s):
            if held.stop_code is None:
                log.warning("The lease of attempt %d expired without renewal and is dropped.", held.lease.attempt)
            self._stop(held, "")
        for held in self._book.held():
            if held.stop_code is not None:
                # A library may have swallowed the first cancellation (asyncio.wait_for does, before Python 3.12).
                self._tasks[key_of(held.lease)].cancel()
        if self.running():
            self.last_compute_unix_ms = _now_ms()

    async def finish(self, *, within_s: float) -> None:
        """Wait until all stopped leases have ended, for ``within_s`` seconds at most."""
        deadline = time.monotonic() + within_s
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks.values(), timeout=_AGAIN_S)
            self.tick(time.monotonic())

    def _accept(self, lease: Lease) -> None:
        held = self._book.accept(lease, time.monotonic())
        if held is None:
            return
        task = asyncio.create_task(self._work(held))
        self._tasks[key_of(lease)] = task
        task.add_done_callback(lambda ended: self._ended(held, ended))
        if self._refusal:
            self._stop(held, self._refusal)

    def _cancel(self, cancel: Cancel) -> None:
        held = self._book.get((cancel.attempt, cancel.fence))
        if held is None:
            self._book.end((cancel.attempt, cancel.fence))
            return
        log.info("Attempt %d is cancelled by the marketplace: %s", cancel.attempt, cancel.code)
        # A unit that never started has nothing to report: the server itself cancelled it.
        self._stop(held, (cancel.code or "cancelled") if held.has_begun else "")

    def _stop(self, held: HeldLease, code: str) -> None:
        """Kill the unit if it runs and end its lease, with a cancelled record unless ``code`` is ""."""
        if held.stop_code is None:
            held.stop_code = code
            self._tasks[key_of(held.lease)].cancel()

    async def _work(self, held: HeldLease) -> None:
        done = await self._worker.process(held)
        if done is None:
            return
        self._recorder.record(held.lease, done)
        log.info(
            "Attempt %d: %s %s, %d ms of compute",
            held.lease.attempt,
            done.outcome,
            done.code,
            done.cpu_us // 1000,
        )

    def _ended(self, held: HeldLease, task: asyncio.Task[None]) -> None:
        """End the lease of a task. A task that was cancelled before its first step gets its "cancelled" record here."""
        key = key_of(held.lease)
        self._book.end(key)
        del self._tasks[key]
        try:
            if not task.cancelled():
                task.result()
            elif held.stop_code:
                now_ms = _now_ms()
                done = EndedLease("cancelled", held.stop_code, started_unix_ms=now_ms, ended_unix_ms=now_ms)
                self._recorder.record(held.lease, done)
        except Exception as error:
            if not self.failed.done():
                self.failed.set_exception(error)
        if self._refusal and not self._tasks:
            self._bench.wipe()
        self._on_change()
        self._on_report()

    def _started(self, held: HeldLease) -> None:
        held.has_begun = True
        held.started_unix_ms = self.last_compute_unix_ms = _now_ms()
        self._on_change()

    def _stopped(self, held: HeldLease) -> None:
        held.started_unix_ms, self.last_compute_unix_ms = 0, _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
