"""Run units in child processes: each slot has one child with one model, a time limit and an immediate kill."""

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
# A child with this much processor time is replaced: its hard limit on processor time cannot be raised again.
_LIFETIME_CPU_S = 3600
_PROCESSES = 16
_MAX_RESULT_BYTES = 1 << 30
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True)
class Unit:
    """The work of one lease. ``memory_bytes`` is the measured need of one batch; ``time_limit_ms`` includes loading."""

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
    """What a unit has used, measured from outside the child; also set when the unit is cancelled or fails.

    Loading the model counts for the unit that caused it. ``started_unix_ms`` is 0 if nothing was run.
    """

    started_unix_ms: int = 0
    ended_unix_ms: int = 0
    cpu_us: int = 0
    wall_us: int = 0
    peak_rss_bytes: int = 0


@dataclass(frozen=True)
class Result:
    """The outcome of a unit.

    ``code`` is "" if there is a result (``data``, a safetensors file), else the reason why not.
    """

    code: str
    data: bytes = b""
    message: str = ""


class Slot:
    """A place for one unit at a time, with one child started in advance. End it with `close`."""

    def __init__(self, empty: Path) -> None:
        self._empty = empty
        self._child: Child | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._closed = False

    async def warm(self) -> None:
        """Start a child before there is work. A failure is logged; `run` tries again."""
        try:
            await self._idle_child()
        except (ChildGoneError, OSError, TimeoutError) as error:
            if not self._closed:
                log.error("No child process can be started: %s", error)

    async def run(self, unit: Unit, usage: Usage) -> Result:
        """Run one unit and return its result. Cancelling this call kills the child at once.

        ``usage`` is always filled.
        """
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
        """End the child if it holds a customer's model, and start another one."""
        if self._child is not None and self._child.model is not None:
            self._discard(self._child)

    async def close(self) -> None:
        """End the child and wait until it is gone."""
        self._closed = True
        if self._child is not None:
            self._discard(self._child)
        while self._tasks:  # a child that is still starting is discarded by `_idle_child` when it is ready
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _exchange(self, child: Child, unit: Unit) -> Result:
        try:
            async with asyncio.timeout(unit.time_limit_ms / 1000):
                if child.model is None:
                    child.model = (unit.model_sha256, _room_bytes(unit))
                    await child.send(_limits(unit), unit.model)
                await child.send(_unit_header(unit), unit.inputs)
                limit = min(_room_bytes(unit), _MAX_RESULT_BYTES)
                header, data = await child.receive(max_body_bytes=limit)
        except TimeoutError:
            return Result("time_limit", message=f"not finished within {unit.time_limit_ms} ms")
        except ChildGoneError as error:
            code = "time_limit" if error.signal_number == signal.SIGXCPU else "child_died"
            return Result(code, message=str(error))
        return Result(str(header.get("code", "child_died")), data, str(header.get("message", "")))

    async def _child_for(self, unit: Unit) -> Child:
        """Return the present child if it has no model yet, or this model with enough memory; else a new child."""
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
        # Only in bubblewrap: elsewhere this limit counts all processes of the same user.
        "processes": _PROCESSES if "bubblewrap" in layers else None,
        "seccomp": "seccomp" in layers,
    }


def _room_bytes(unit: Unit) -> int:
    """Return the address space that the unit may use beyond the interpreter.

    It is the need of one batch, as much again for the results of all batches, and four times the inputs, which are
    received as bytes, copied into tensors and cut into batches.
    """
    return 2 * unit.memory_bytes + 4 * len(unit.inputs) + _SPARE_BYTES


def _unit_header(unit: Unit) -> dict[str, object]:
    return {
        "outputs": list(unit.outputs),
        "items": unit.items,
        "batch": unit.batch,
        "cpu_seconds": _cpu_seconds(unit),
    }


def _cpu_seconds(unit: Unit) -> int:
    """Return the limit on processor time: one thread cannot use more than the time limit, plus one second of margin."""
    return math.ceil(unit.time_limit_ms / 1000) + 1
