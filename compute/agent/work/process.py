"""One child process as the agent sees it: started warm, measured from outside, killed at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from compute import sandbox
from compute.agent.work.frames import LENGTHS_BYTES, decode_header, decode_lengths, encode_frame

_PACKAGE = Path(__file__).resolve().parent
_ROOT = _PACKAGE.parents[2]
# The child's own code: all of this program that it can see in bubblewrap.
_CODE = (
    _ROOT / "compute" / "__init__.py",
    _PACKAGE.parent / "__init__.py",
    _PACKAGE / "__init__.py",
    _PACKAGE / "child.py",
    _PACKAGE / "frames.py",
    _ROOT / "compute" / "sandbox",
)
_START = f"import sys; sys.path.append({str(_ROOT)!r}); from compute.agent.work.child import main; main()"
_ENVIRONMENT: Mapping[str, str] = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}
_READY_S = 120.0  # for one that hangs; one that ends is noticed at once, and a busy computer takes long to import
_STDERR_BYTES = 2000
_BUFFER_BYTES = 1 << 20


class ChildGoneError(Exception):
    """The child ended, or spoke nonsense, before it answered. `signal_number` is what ended it, if known."""

    def __init__(self, message: str, signal_number: int | None = None) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Child:
    """Make one with `start`. A child is given one model (``model``) in its life."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.model: tuple[str, int] | None = None
        self._process = process
        self._pid = process.pid
        self._last_words = bytearray()
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, empty: Path) -> Child:
        """A child with its imports done, in bubblewrap if that works here. Raises ChildGoneError.

        ``empty`` is an empty folder to work in, because onnxruntime reads files that a model names there.
        """
        outside = sandbox.bubblewrap_argv(read_only=_CODE, environment=_ENVIRONMENT) or []
        process = await asyncio.create_subprocess_exec(
            *outside,
            sys.executable,
            "-I",
            "-c",
            _START,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(_ENVIRONMENT),
            cwd=empty,
            start_new_session=True,
            limit=_BUFFER_BYTES,
        )
        child = cls(process)
        try:
            async with asyncio.timeout(_READY_S):
                await child.receive(max_body_bytes=0)
            child._pid = _innermost(process.pid)
        except BaseException:
            child._kill_unready()
            await child.reaped()
            raise
        return child

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    def cpu_ns(self) -> int:
        """Processor time (user and system, all threads) so far, read by us and not told by the child.

        CLOCK_PROCESS_CPUTIME_ID of another process: clock_getcpuclockid(3). 0 when the process is gone.
        """
        try:
            return time.clock_gettime_ns((~self._pid << 3) | 2)
        except OSError:
            return 0

    def peak_rss_bytes(self) -> int:
        """Largest resident size so far (VmHWM), 0 when the process is gone."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = Path(f"/proc/{self._pid}/status").read_text(encoding="ascii", errors="replace")
            return int(status.partition("VmHWM:")[2].split()[0]) * 1024
        return 0

    async def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Raises ChildGoneError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode_frame(header, body))
            self._process.stdin.write(body)
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:  # RuntimeError: the transport is closed
            raise await self._gone("the child closed its input") from error

    async def receive(self, *, max_body_bytes: int) -> tuple[dict[str, Any], bytes]:
        """The next frame. Raises ChildGoneError, also when the child says more than ``max_body_bytes``."""
        assert self._process.stdout is not None
        read = self._process.stdout.readexactly
        try:
            header_bytes, body_bytes = decode_lengths(await read(LENGTHS_BYTES))
            if body_bytes > max_body_bytes:
                raise ValueError(f"{body_bytes} bytes of result")
            return decode_header(await read(header_bytes)), await read(body_bytes)
        except (asyncio.IncompleteReadError, ValueError) as error:
            raise await self._gone(f"{type(error).__name__} {error}") from error

    def kill(self) -> None:
        """End the child and everything in its sandbox, now. Reaping follows in `reaped`."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _kill_unready(self) -> None:
        """End a child whose start is not over, with what its sandbox has started.

        Bubblewrap's second process dies with its first only from a certain moment on; before, it would wait for ever for a
        parent that is gone. Stopped, the first can start no other while we look.
        """
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            os.killpg(self._process.pid, signal.SIGSTOP)
            started = psutil.Process(self._process.pid).children(recursive=True)
            self.kill()
            for each in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()

    async def reaped(self) -> None:
        self.kill()
        await self._process.wait()
        await self._listener

    async def _gone(self, what: str) -> ChildGoneError:
        """Why the child stopped answering; kills what may be left of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await self._process.wait()
        self.kill()
        code = self._process.returncode
        number = None if code is None else -code if code < 0 else code - 128 if code > 128 else None
        words = bytes(self._last_words).decode(errors="replace").strip()
        return ChildGoneError(f"{what}; exit code {code}; last words: {words!r}", number)

    async def _listen(self) -> None:
        """Keep the end of what the child prints, for the log; never let it fill the pipe."""
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._last_words += chunk
            del self._last_words[:-_STDERR_BYTES]


def _innermost(pid: int) -> int:
    """The interpreter's own pid as we see it: bubblewrap puts two processes of its own before it."""
    try:
        descendants = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess as error:
        raise ChildGoneError("the child ended at its start") from error
    return int(descendants[-1].pid) if descendants else pid
