"""Does one lease: fetch, run in the sandbox, upload. Whatever happens, there is one end to tell, or none."""

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
from compute.agent.work.leases import Held
from compute.agent.work.meter import Done, Outcome
from compute.agent.work.runner import Result, Slot, Unit, Usage

log = logging.getLogger(__name__)
# How long blobs and results are tried for; the lease usually ends it before.
_TRANSFER_S = 60.0


class Bench:
    """The slots of this vehicle, handed out in order of asking."""

    def __init__(self, slots: list[Slot]) -> None:
        self._slots = slots
        self._free: asyncio.Queue[Slot] = asyncio.Queue()
        for slot in slots:
            self._free.put_nowait(slot)

    async def warm(self) -> None:
        for slot in self._slots:
            await slot.warm()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        slot = await self._free.get()
        try:
            yield slot
        finally:
            self._free.put_nowait(slot)

    def wipe(self) -> None:
        """No customer's model stays in memory. Only when nothing runs."""
        for slot in self._slots:
            slot.wipe()

    async def close(self) -> None:
        await asyncio.gather(*(slot.close() for slot in self._slots))


class _Used:
    """What a lease has used, whichever way it ends."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.energy_uwh = 0
        self.method: Method = "model"

    def done(self, outcome: Outcome, code: str = "", *, result: bytes = b"") -> Done:
        now = time.time_ns() // 1_000_000
        return Done(
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
    """``on_start`` and ``on_stop`` are told when a unit begins and ends to use the processor."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        bench: Bench,
        energy: EnergyMeter,
        on_start: Callable[[Held], None],
        on_stop: Callable[[Held], None],
    ) -> None:
        self._blobs = blobs
        self._bench = bench
        self._energy = energy
        self._on_start = on_start
        self._on_stop = on_stop

    async def do(self, held: Held) -> Done | None:
        """How the lease ended; None when it is lost, and nobody wants to know. Cancel this to stop it."""
        used = _Used()
        try:
            return await self._do(held, used)
        except asyncio.CancelledError:
            if not held.stop_code:
                return None
            return used.done("cancelled", held.stop_code)
        except AgentError as error:
            log.warning("Attempt %d failed: %s (%s)", held.lease.attempt, error.message, error.code)
            return used.done("error", error.code)
        except OSError as error:
            log.error("Attempt %d failed: %s", held.lease.attempt, error)
            return used.done("error", "storage_failed")
        finally:
            self._blobs.cache.discard(held.lease.input_sha256)

    async def _do(self, held: Held, used: _Used) -> Done:
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
            result = await self._run(held, slot, unit, used)
        if result.code:
            log.warning("Attempt %d failed: %s (%s)", lease.attempt, result.message, result.code)
            return used.done("error", result.code)
        if len(result.data) > protocol.INLINE_RESULT_MAX_BYTES:
            await self._blobs.put_result(lease.attempt, lease.fence, result.data, within_s=_TRANSFER_S)
        return used.done("ok", result=result.data)

    async def _fetch(self, held: Held) -> tuple[bytes, bytes]:
        lease, get = held.lease, self._blobs.get
        model = await get(lease.model_sha256, size_bytes=lease.model_bytes, grant=lease.grant, within_s=_TRANSFER_S)
        inputs = await get(lease.input_sha256, size_bytes=lease.input_bytes, grant=lease.grant, within_s=_TRANSFER_S)
        return model, inputs

    async def _run(self, held: Held, slot: Slot, unit: Unit, used: _Used) -> Result:
        reading = self._energy.start()
        self._on_start(held)
        try:
            return await slot.run(unit, used.usage)
        finally:
            used.energy_uwh, used.method = self._energy.finish(reading, cpu_us=used.usage.cpu_us)
            self._on_stop(held)
