"""The main loop of the vehicle agent: sync with the server, run leased units, stop when a rule forbids work."""

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
from compute.agent.policy.health import HealthReporter
from compute.agent.policy.judge import Judge
from compute.agent.state.backoff import Backoff
from compute.agent.state.errors import AgentError, UnreachableError
from compute.agent.state.store import Store
from compute.agent.state.version import AGENT_VERSION
from compute.agent.status import Publisher, StateReason
from compute.agent.work.blobs import Blobs
from compute.agent.work.chain import ChainEnd
from compute.agent.work.meter import Recorder
from compute.agent.work.work import SlotPool
from compute.agent.work.workload import Workload
from compute.cancellation import cancel_all
from compute.protocol import Ack, Hardware, Policy, Push, SyncRequest, SyncResponse

log = logging.getLogger(__name__)
_TICK_S = 1.0
_COALESCE_S = 0.01
_MAX_PAUSE_HOLDING_S = 5.0
_NEXT_SYNC_MS = (100, 300_000)
_FAREWELL_S = 2.0
# The rest of one NATS message (16 KiB) is kept free for the other fields of a sync.
_REPORTS_BYTES = protocol.NATS_MAX_PAYLOAD_BYTES - 16384
_RANDOM = random.SystemRandom()
_NO_ERROR = AgentError("", "")
_STOPPED = StateReason("stopped", "agent_stopped", reasons.sentence("agent_stopped"))


# Refusal codes that mean: the server did not append the meter record to this node's chain.
_NOT_KEPT = {"meter_conflict", "meter_gap", "record_invalid", "signature_invalid", "node_retired"}


class Agent:
    """The agent of one vehicle. Call `run` once. Everything happens on one event loop, in one thread."""

    def __init__(
        self,
        *,
        node: str,
        hardware: Hardware,
        judge: Judge,
        store: Store,
        link: Link,
        blobs: Blobs,
        bench: SlotPool,
        energy: EnergyMeter,
        recorder: Recorder,
        chain: ChainEnd,
        publisher: Publisher,
        slots: int,
    ) -> None:
        self._node, self._hardware, self._slots = node, hardware, slots
        self._store, self._link, self._bench = store, link, bench
        self._judge, self._publisher, self._chain = judge, publisher, chain
        self._health = HealthReporter(store, judge)
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
        self._sync_error = AgentError("connecting", "No sync has been answered yet.")
        self._is_introduced = False
        self._server_seq = 0
        self._sent_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then give back held leases, report that to the server within 2 s, and return.

        Raise the error of any background loop that fails: a restart by the supervisor is better than an agent that
        runs with one loop missing.
        """
        self._check_rules()
        self._publish()
        loops = [asyncio.create_task(loop) for loop in (self._sync(), self._watch(), self._link.maintain())]
        warming, stopping = asyncio.create_task(self._bench.warm()), asyncio.create_task(stop.wait())
        watched: set[asyncio.Future[Any]] = {*loops, stopping, self._work.failed}
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            self._work.refuse("agent_stopped")
            await cancel_all([*loops, warming, stopping])
            await self._shut_down()

    def sync_soon(self) -> None:
        """Sync now, for instance because a report waits or because the server can now push over a new connection."""
        self._wake.set()

    def on_push(self, push: Push) -> None:
        """Take leases and cancels that the server sends between syncs. The next sync, made at once, confirms them."""
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
                retry_after_s = error.retry_after_s if isinstance(error, UnreachableError) else 0.0
                pause_s = backoff.next(at_least_s=retry_after_s)
                self._set_sync_error(error)
            self._publish()
            await self._pause(min(pause_s, _MAX_PAUSE_HOLDING_S) if len(self._work) else pause_s)

    async def _pause(self, seconds: float) -> None:
        """Wait for ``seconds`` or until `sync_soon`, then 10 ms more, so that simultaneous events share one sync."""
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
            health=self._health.next_report(),
            agent_version=AGENT_VERSION,
            chain=self._chain.agreed,
        )

    def _apply(self, request: SyncRequest, response: SyncResponse) -> float:
        """Carry out the server's answer. Return the seconds until the next sync. Raise UnreachableError."""
        if response.version != protocol.VERSION:
            raise UnreachableError("unsupported_version", f"The server speaks version {response.version}.")
        if response.error:
            self._server_seq = max(self._server_seq, response.seq)
            raise UnreachableError(response.error, response.message or "The server could not take the sync.")
        self._is_introduced = True
        self._set_sync_error(None)
        self._health.answered(response.share)
        settled = self._settle_reports(response.acks)
        if response.policy is not None:
            self._adopt_policy(response.policy)
        if self._chain.process(response.chain):
            self.sync_soon()
        self._work.renewed(request.running, self._sent_s, response.lease_ms / 1000)
        self._set_withheld(response.withheld)
        self._work.take(response.cancels, response.leases)
        if settled and settled == len(request.reports) and self._store.unacknowledged_count():
            self.sync_soon()  # more reports wait than fitted into one message
        low, high = _NEXT_SYNC_MS
        # 5 to 20 % early: the next answer may carry a cancel, which must be obeyed within the interval that was
        # promised.
        return min(max(response.next_sync_ms, low), high) / 1000 * _RANDOM.uniform(0.8, 0.95)

    def _settle_reports(self, acks: tuple[Ack, ...]) -> int:
        """Remove the reports that the server answered. Return how many. Every answer is final, also a refusal."""
        settled = [ack for ack in acks if self._store.acknowledge(ack.attempt, ack.fence, is_kept=_is_kept(ack))]
        for ack in settled:
            if ack.status == "refused":
                log.warning("The report of attempt %d was refused: %s", ack.attempt, ack.code)
        return len(settled)

    def _adopt_policy(self, policy: Policy) -> None:
        if policy != self._judge.policy:
            log.info("The owner's policy is now version %d.", policy.version)
            self._judge.policy = policy
            self._store.set_policy(policy)
            self._check_rules()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._check_rules()
            self._work.tick(time.monotonic())
            self._publish()

    def _check_rules(self) -> None:
        """Evaluate the owner's rules. On a new refusal give back all leases at once; started units end if they may."""
        previous = self._judge.verdict
        verdict = self._judge.evaluate(is_running=bool(self._work.running()), is_working=self._work.has_begun)
        if verdict.code != previous.code:
            log.info("%s", verdict.sentence)
            self._work.refuse(verdict.code, may_finish=verdict.may_finish)
            self.sync_soon()

    def _set_withheld(self, code: str) -> None:
        if code == self._withheld:
            return
        self._withheld = code
        if code:
            log.warning("%s", reasons.sentence(code))
        else:
            log.info("The marketplace offers work to this vehicle again.")
            self._link.retry_nats()

    def _set_sync_error(self, error: AgentError | None) -> None:
        if error is not None and error.code != self._sync_error.code:
            log.warning("Sync failed (%s): %s", error.code, error.message)
        self._sync_error = error or _NO_ERROR

    async def _shut_down(self) -> None:
        """Give back held leases and close everything. Reports that cannot be sent stay on disk for the next start."""
        await self._work.finish(within_s=_FAREWELL_S / 2)
        with contextlib.suppress(AgentError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S / 2):
                _, response = await self._link.request(lambda: self._request(leaving=True))
                if not response.error:
                    self._health.answered(response.share)
                    self._settle_reports(response.acks)
        await self._link.close()
        await self._bench.close()
        self._judge.close()
        self._publish(is_over=True)

    def _publish(self, *, is_over: bool = False) -> None:
        saying = _STOPPED if is_over else self._current_state()
        self._publisher.publish(
            self._work, saying, self._judge, withheld=self._withheld, carrier=self._link.answered_by
        )

    def _current_state(self) -> StateReason:
        """Return the state of the agent and its reason; where several reasons hold, the one that matters most."""
        verdict = self._judge.verdict
        if self._work.running():
            # A unit runs without an "available" verdict only if the rule lets started units end.
            return StateReason("running", verdict.code, "" if verdict.available else verdict.sentence, verdict.setting)
        if not verdict.available:
            return StateReason("unavailable", verdict.code, verdict.sentence, verdict.setting)
        if self._sync_error is not _NO_ERROR:
            return StateReason("offline", self._sync_error.code, self._sync_error.message)
        if self._withheld:
            return StateReason("withheld", self._withheld, reasons.sentence(self._withheld))
        return StateReason("idle", "", "Waiting for work.")


def _is_kept(ack: Ack) -> bool:
    return ack.status != "refused" or ack.code not in _NOT_KEPT
