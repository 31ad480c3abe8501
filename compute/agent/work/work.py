"""Process one lease: download, run in the sandbox, upload.

Every lease ends with one outcome to report, or with none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from compute import protocol
from compute.agent.energy import EnergyMeter, Method
from compute.agent.state.errors import AgentError
from compute.agent.work.blobs import Blobs
from compute.agent.work.leases import HeldLease
from compute.agent.work.meter import EndedLease, Outcome
from compute.agent.work.runner import Result, Slot, Unit, Usage

log = logging.getLogger(__name__)
# How long downloads and uploads are retried. Usually the lease ends before that.
_TRANSFER_S = 60.0


class SlotPool:
    """The slots of this vehicle, given to units in the order in which they ask."""

    def __init__(self, slots: list[Slot]) -> None:
        self._slots = slots
        self._free: asyncio.Queue[Slot] = asyncio.Queue()
        for slot in slots:
            self._free.put_nowait(slot)

    async def warm(self) -> None:
        """Start a child in every slot."""
        for slot in self._slots:
            await slot.warm()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a free slot and hold it until the context ends."""
        slot = await self._free.get()
        try:
            yield slot
        finally:
            self._free.put_nowait(slot)

    def wipe(self) -> None:
        """Remove customers' models from memory. Call it only while no unit runs."""
        for slot in self._slots:
            slot.wipe()

    async def close(self) -> None:
        await asyncio.gather(*(slot.close() for slot in self._slots))


class _Consumption:
    """The time and energy that a lease has used, however it ends."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.energy_uwh = 0
        self.method: Method = "model"

    def done(self, outcome: Outcome, code: str = "", *, result: bytes = b"") -> EndedLease:
        now = time.time_ns() // 1_000_000
        return EndedLease(
            outcome=outcome,
            code=code,
            result=result,
            started_unix_ms=self.usage.started_unix_ms or now,
            ended_unix_ms=self.usage.ended_unix_ms or now,
            cpu_us=self.usage.cpu_us,
            energy_uwh=self.energy_uwh,
            energy_method=self.method,
        )


class Worker:
    """Processes leases. ``on_start`` and ``on_stop`` are called when a unit begins and ceases to use the processor."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        bench: SlotPool,
        energy: EnergyMeter,
        on_start: Callable[[HeldLease], None],
        on_stop: Callable[[HeldLease], None],
    ) -> None:
        self._blobs = blobs
        self._bench = bench
        self._energy = energy
        self._on_start = on_start
        self._on_stop = on_stop

    async def process(self, held: HeldLease) -> EndedLease | None:
        """Process a lease and return its outcome; None when the lease is lost and nothing is to be reported.

        To stop the lease, set its ``stop_code`` and cancel this call.
        """
        consumption = _Consumption()
        try:
            return await self._do(held, consumption)
        except asyncio.CancelledError:
            if not held.stop_code:
                return None
            return consumption.done("cancelled", held.stop_code)
        except AgentError as error:
            log.warning("Attempt %d failed: %s (%s)", held.lease.attempt, error.message, error.code)
            return consumption.done("error", error.code)
        except OSError as error:
            log.error("Attempt %d failed: %s", held.lease.attempt, error)
            return consumption.done("error", "storage_failed")
        finally:
            self._blobs.cache.discard(held.lease.input_sha256)

    async def _do(self, held: HeldLease, consumption: _Consumption) -> EndedLease:
        lease = held.lease
        model, inputs = await self._fetch(held)
        unit = Unit(
            model_sha256=lease.model_sha256,
            model=model,
            inputs=inputs,
            outputs=lease.outputs,
            items=lease.items,
            batch=lease.batch,
            memory_bytes=lease.memory_bytes,
            time_limit_ms=lease.time_limit_ms,
        )
        async with self._bench.slot() as slot:
            result = await self._run(held, slot, unit, consumption)
        if result.code:
            log.warning("Attempt %d failed: %s (%s)", lease.attempt, result.message, result.code)
            return consumption.done("error", result.code)
        if len(result.data) > protocol.INLINE_RESULT_MAX_BYTES:
            await self._blobs.put_result(lease.attempt, lease.fence, result.data, within_s=_TRANSFER_S)
        return consumption.done("ok", result=result.data)

    async def _fetch(self, held: HeldLease) -> tuple[bytes, bytes]:
        lease, get = held.lease, self._blobs.get
        model = await get(lease.model_sha256, size_bytes=lease.model_bytes, grant=lease.grant, within_s=_TRANSFER_S)
        inputs = await get(lease.input_sha256, size_bytes=lease.input_bytes, grant=lease.grant, within_s=_TRANSFER_S)
        return model, inputs

    async def _run(self, held: HeldLease, slot: Slot, unit: Unit, consumption: _Consumption) -> Result:
        reading = self._energy.start()
        self._on_start(held)
        try:
            return await slot.run(unit, consumption.usage)
        finally:
            cpu_us = consumption.usage.cpu_us
            consumption.energy_uwh, consumption.method = self._energy.finish(reading, cpu_us=cpu_us)
            self._on_stop(held)
