"""The main loop of the program in the car: sync, take on work, and stop the moment a rule says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import Any

from compute import protocol, reasons
from compute.agent.carriers.link import Link
from compute.agent.energy import EnergyMeter
from compute.agent.policy.health import HealthTeller
from compute.agent.policy.judge import Judge
from compute.agent.state.backoff import Backoff
from compute.agent.state.errors import AgentError, UnreachableError
from compute.agent.state.store import Store
from compute.agent.state.version import AGENT_VERSION
from compute.agent.status import Publisher, Saying
from compute.agent.work.blobs import Blobs
from compute.agent.work.chain import ChainEnd
from compute.agent.work.meter import Recorder
from compute.agent.work.work import Bench
from compute.agent.work.workload import Workload
from compute.cancelling import cancel_all
from compute.protocol import Ack, Hardware, Policy, Push, SyncRequest, SyncResponse

log = logging.getLogger(__name__)
_TICK_S = 1.0
_COALESCE_S = 0.01
_MAX_PAUSE_HOLDING_S = 5.0
_NEXT_SYNC_MS = (100, 300_000)
_FAREWELL_S = 2.0
# Leaves room in one NATS message for everything beside the reports.
_REPORTS_BYTES = protocol.NATS_MAX_PAYLOAD_BYTES - 16384
_RANDOM = random.SystemRandom()
_NO_TROUBLE = AgentError("", "")
_STOPPED = Saying("stopped", "agent_stopped", reasons.sentence("agent_stopped"))


# Refused records that the server has not kept in their place.
_NOT_KEPT = {"meter_conflict", "meter_gap", "record_invalid", "signature_invalid", "node_retired"}


class Agent:
    """Make it with its parts, then `run` it once. All its work is on one event loop, in one thread."""

    def __init__(
        self,
        *,
        node: str,
        hardware: Hardware,
        judge: Judge,
        store: Store,
        link: Link,
        blobs: Blobs,
        bench: Bench,
        energy: EnergyMeter,
        recorder: Recorder,
        chain: ChainEnd,
        publisher: Publisher,
        slots: int,
    ) -> None:
        self._node, self._hardware, self._slots = node, hardware, slots
        self._store, self._link, self._bench = store, link, bench
        self._judge, self._publisher, self._chain = judge, publisher, chain
        self._health = HealthTeller(store, judge)
        self._work = Workload(
            blobs=blobs,
            bench=bench,
            energy=energy,
            store=store,
            recorder=recorder,
            on_change=self._publish,
            on_report=self.sync_soon,
        )
        self._wake = asyncio.Event()
        self._withheld = ""
        self._trouble = AgentError("connecting", "No sync has been answered yet.")
        self._is_introduced = False
        self._server_seq = 0
        self._sent_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; then return held leases, say so to the server within 2 s, and end.

        Raises what a loop of the agent died of, since a supervisor's restart is better than half an agent.
        """
        self._look()
        self._publish()
        loops = [asyncio.create_task(loop) for loop in (self._sync(), self._watch(), self._link.maintain())]
        others = [asyncio.create_task(self._bench.warm()), asyncio.create_task(stop.wait())]
        watched: set[asyncio.Future[Any]] = {*loops, others[1], self._work.failed}
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            self._work.refuse("agent_stopped")
            await cancel_all([*loops, *others])
            await self._leave()

    def sync_soon(self) -> None:
        """Sync now: a report waits, or the server should learn of a connection that it may push to."""
        self._wake.set()

    def on_push(self, push: Push) -> None:
        """Work or cancels from the server between syncs. The sync that follows confirms them."""
        if push.version == protocol.VERSION:
            self._work.take(push.cancels, push.leases)
            self._publish()
            self.sync_soon()

    async def _sync(self) -> None:
        backoff = Backoff()
        while True:
            try:
                request, response = await self._link.request(self._request)
                pause_s = self._apply(request, response)
                backoff.reset()
            except AgentError as error:
                wish_s = error.retry_after_s if isinstance(error, UnreachableError) else 0.0
                pause_s = backoff.next(at_least_s=wish_s)
                self._note_trouble(error)
            self._publish()
            await self._pause(min(pause_s, _MAX_PAUSE_HOLDING_S) if len(self._work) else pause_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, or be woken; then a moment more, so that what happens together is told together."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
            await asyncio.sleep(_COALESCE_S)
        self._wake.clear()

    def _request(self, *, leaving: bool = False) -> SyncRequest:
        self._sent_s = time.monotonic()
        verdict = self._judge.verdict
        available = verdict.available and not leaving
        return SyncRequest(
            node=self._node,
            seq=self._store.next_sync_seq(above=self._server_seq),
            available=available,
            reason="agent_stopped" if leaving else verdict.code,
            capacity=2 * self._slots if available else 0,
            running=self._work.renewals(),
            reports=self._store.unacknowledged(max_bytes=_REPORTS_BYTES),
            policy_version=self._judge.policy.version,
            hardware=None if self._is_introduced else self._hardware,
            health=self._health.tell(),
            agent_version=AGENT_VERSION,
            chain=self._chain.agreed,
        )

    def _apply(self, request: SyncRequest, response: SyncResponse) -> float:
        """Do what the server says; seconds until the next sync. Raises UnreachableError."""
        if response.version != protocol.VERSION:
            raise UnreachableError("unsupported_version", f"The server speaks version {response.version}.")
        if response.error:
            self._server_seq = max(self._server_seq, response.seq)
            raise UnreachableError(response.error, response.message or "The server could not take the sync.")
        self._is_introduced = True
        self._note_trouble(None)
        self._health.answered(response.share)
        settled = self._settle(response.acks)
        if response.policy is not None:
            self._adopt(response.policy)
        if self._chain.heard(response.chain):
            self.sync_soon()
        self._work.renewed(request.running, self._sent_s, response.lease_ms / 1000)
        self._note_withheld(response.withheld)
        self._work.take(response.cancels, response.leases)
        if settled and settled == len(request.reports) and self._store.unacknowledged_count():
            self.sync_soon()  # there were more than fit in one message
        low, high = _NEXT_SYNC_MS
        # Early rather than late: what the answer brings, say a cancel, shall be obeyed within the time that was named.
        return min(max(response.next_sync_ms, low), high) / 1000 * _RANDOM.uniform(0.8, 0.95)

    def _settle(self, acks: tuple[Ack, ...]) -> int:
        """How many waiting reports these answer. Every answer is final, also a refusal."""
        settled = [ack for ack in acks if self._store.acknowledge(ack.attempt, ack.fence, is_kept=_is_kept(ack))]
        for ack in settled:
            if ack.status == "refused":
                log.warning("The report of attempt %d was refused: %s", ack.attempt, ack.code)
        return len(settled)

    def _adopt(self, policy: Policy) -> None:
        if policy != self._judge.policy:
            log.info("The owner's policy is now version %d.", policy.version)
            self._judge.policy = policy
            self._store.set_policy(policy)
            self._look()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._look()
            self._work.tick(time.monotonic())
            self._publish()

    def _look(self) -> None:
        """Ask the owner's rules; when they say no, everything stops at once and goes back, or ends first if they say so."""
        before = self._judge.verdict
        verdict = self._judge.look(is_running=bool(self._work.running()), is_working=self._work.has_begun)
        if verdict.code != before.code:
            log.info("%s", verdict.sentence)
            self._work.refuse(verdict.code, may_finish=verdict.may_finish)
            self.sync_soon()

    def _note_withheld(self, code: str) -> None:
        if code == self._withheld:
            return
        self._withheld = code
        if code:
            log.warning("%s", reasons.sentence(code))
        else:
            log.info("The marketplace offers this vehicle work again.")
            self._link.retry_nats()

    def _note_trouble(self, error: AgentError | None) -> None:
        if error is not None and error.code != self._trouble.code:
            log.warning("Sync failed (%s): %s", error.code, error.message)
        self._trouble = error or _NO_TROUBLE

    async def _leave(self) -> None:
        """Give back what is held. Reports that do not get through are on disk and go with the next start."""
        await self._work.finish(within_s=_FAREWELL_S / 2)
        with contextlib.suppress(AgentError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S / 2):
                _, response = await self._link.request(lambda: self._request(leaving=True))
                if not response.error:
                    self._health.answered(response.share)
                    self._settle(response.acks)
        await self._link.close()
        await self._bench.close()
        self._judge.close()
        self._publish(is_over=True)

    def _publish(self, *, is_over: bool = False) -> None:
        saying = _STOPPED if is_over else self._saying()
        self._publisher.publish(
            self._work, saying, self._judge, withheld=self._withheld, carrier=self._link.answered_by
        )

    def _saying(self) -> Saying:
        """What it does and why, the most telling first."""
        verdict = self._judge.verdict
        if self._work.running():
            # Only what may finish runs against a verdict.
            return Saying("running", verdict.code, "" if verdict.available else verdict.sentence, verdict.setting)
        if not verdict.available:
            return Saying("unavailable", verdict.code, verdict.sentence, verdict.setting)
        if self._trouble is not _NO_TROUBLE:
            return Saying("offline", self._trouble.code, self._trouble.message)
        if self._withheld:
            return Saying("withheld", self._withheld, reasons.sentence(self._withheld))
        return Saying("idle", "", "Waiting for work.")


def _is_kept(ack: Ack) -> bool:
    return ack.status != "refused" or ack.code not in _NOT_KEPT
