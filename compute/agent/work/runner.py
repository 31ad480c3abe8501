"""Runs units in child processes: one slot, one child, one model, with a time limit and an instant kill."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

from compute import sandbox
from compute.agent.work.process import Child, ChildGoneError

log = logging.getLogger(__name__)
# A child that has worked this long is replaced, since its hard processor limit cannot be raised again.
_LIFETIME_CPU_S = 3600
_PROCESSES = 16
_MAX_RESULT_BYTES = 1 << 30
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True)
class Unit:
    """What to run. ``memory_bytes`` is what one batch was seen to need; ``time_limit_ms`` includes loading."""

    model_sha256: str
    model: bytes
    inputs: bytes
    outputs: tuple[str, ...]
    items: int
    batch: int
    memory_bytes: int
    time_limit_ms: int


@dataclass
class Usage:
    """What a unit has used so far, measured from outside; filled also when the unit is cancelled or fails.

    Loading the model counts for the unit that caused it. Zero ``started_unix_ms`` means nothing was run.
    """

    started_unix_ms: int = 0
    ended_unix_ms: int = 0
    cpu_us: int = 0
    wall_us: int = 0
    peak_rss_bytes: int = 0


@dataclass(frozen=True)
class Result:
    """``code`` is "" for a good result (``data``, a safetensors file), else why there is none."""

    code: str
    data: bytes = b""
    message: str = ""


class Slot:
    """Room for one unit at a time. Keeps one warm child; give it up with `close`."""

    def __init__(self, empty: Path) -> None:
        self._empty = empty
        self._child: Child | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._closed = False

    async def warm(self) -> None:
        """Have a child ready before there is work. A failure is logged; `run` will try again."""
        try:
            await self._idle_child()
        except (ChildGoneError, OSError, TimeoutError) as error:
            if not self._closed:
                log.error("No child process can be started: %s", error)

    async def run(self, unit: Unit, usage: Usage) -> Result:
        """Run one unit. Cancelling this kills the child at once; ``usage`` is filled in any case."""
        try:
            child = await self._child_for(unit)
        except (ChildGoneError, OSError, TimeoutError) as error:
            return Result("sandbox_failed", message=str(error))
        started_ns, cpu_before_ns = time.monotonic_ns(), child.cpu_ns()
        usage.started_unix_ms = time.time_ns() // 1_000_000
        result = None
        try:
            result = await self._exchange(child, unit)
        finally:
            usage.cpu_us = max(0, child.cpu_ns() - cpu_before_ns) // 1000
            usage.peak_rss_bytes = child.peak_rss_bytes()
            if result is None or result.code in ("time_limit", "child_died", "memory_limit"):
                self._discard(child)
            usage.wall_us = (time.monotonic_ns() - started_ns) // 1000
            usage.ended_unix_ms = time.time_ns() // 1_000_000
        return result

    def wipe(self) -> None:
        """Forget a customer's model: end the child that holds one, and warm another."""
        if self._child is not None and self._child.model is not None:
            self._discard(self._child)

    async def close(self) -> None:
        self._closed = True
        if self._child is not None:
            self._discard(self._child)
        while self._tasks:  # a child that is just starting ends itself when it is there
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _exchange(self, child: Child, unit: Unit) -> Result:
        try:
            async with asyncio.timeout(unit.time_limit_ms / 1000):
                if child.model is None:
                    child.model = (unit.model_sha256, _room_bytes(unit))
                    await child.send(_limits(unit), unit.model)
                await child.send(_order(unit), unit.inputs)
                limit = min(_room_bytes(unit), _MAX_RESULT_BYTES)
                header, data = await child.receive(max_body_bytes=limit)
        except TimeoutError:
            return Result("time_limit", message=f"not done in {unit.time_limit_ms} ms")
        except ChildGoneError as error:
            code = "time_limit" if error.signal_number == signal.SIGXCPU else "child_died"
            return Result(code, message=str(error))
        return Result(str(header.get("code", "child_died")), data, str(header.get("message", "")))

    async def _child_for(self, unit: Unit) -> Child:
        """The present child if it is fresh or serves this very model with memory enough, else a new one."""
        child = await self._idle_child()
        if child.model is None:
            return child
        model, room_bytes = child.model
        spent_s = child.cpu_ns() / 1e9
        if model == unit.model_sha256 and room_bytes >= _room_bytes(unit) and spent_s < _LIFETIME_CPU_S:
            return child
        self._discard(child, replace=False)
        return await self._idle_child()

    async def _idle_child(self) -> Child:
        async with self._starting:
            if self._child is None or not self._child.is_alive:
                self._child = await Child.start(self._empty)
            if self._closed:
                self._discard(self._child)
                raise ChildGoneError("the agent is stopping")
            return self._child

    def _discard(self, child: Child, *, replace: bool = True) -> None:
        child.kill()
        if self._child is child:
            self._child = None
        self._spawn(child.reaped())
        if replace and not self._closed:
            self._spawn(self.warm())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _limits(unit: Unit) -> dict[str, object]:
    layers = sandbox.active_layers()
    return {
        "memory_bytes": _room_bytes(unit),
        "lifetime_cpu_seconds": _LIFETIME_CPU_S + _cpu_seconds(unit),
        # Outside bubblewrap it would count all processes of this user.
        "processes": _PROCESSES if "bubblewrap" in layers else None,
        "seccomp": "seccomp" in layers,
    }


def _room_bytes(unit: Unit) -> int:
    """Address space on top of the interpreter: what a batch needs, as much again for the results of all, and inputs.

    Inputs come as bytes, are copied into tensors, and are cut into batches.
    """
    return 2 * unit.memory_bytes + 4 * len(unit.inputs) + _SPARE_BYTES


def _order(unit: Unit) -> dict[str, object]:
    return {
        "outputs": list(unit.outputs),
        "items": unit.items,
        "batch": unit.batch,
        "cpu_seconds": _cpu_seconds(unit),
    }


def _cpu_seconds(unit: Unit) -> int:
    """One thread cannot use more processor time than the time limit; one second of grace."""
    return math.ceil(unit.time_limit_ms / 1000) + 1
