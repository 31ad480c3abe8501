"""One child process, seen from the agent: start it in advance, measure it from outside, kill it at once."""

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
# The only files of this program that the child can see in bubblewrap: its own code.
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
_READY_S = 120.0  # limit for a child that hangs at its start; imports take long on a busy computer
_STDERR_BYTES = 2000
_BUFFER_BYTES = 1 << 20


class ChildGoneError(Exception):
    """The child ended or sent an invalid frame. `signal_number` is the signal that ended it, if known."""

    def __init__(self, message: str, signal_number: int | None = None) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Child:
    """A child process; create it with `start`.

    In its life it gets one model: ``model`` is (sha256, memory in bytes).
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.model: tuple[str, int] | None = None
        self._process = process
        self._pid = process.pid
        self._stderr_tail = bytearray()
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, empty: Path) -> Child:
        """Start a child and return it when its imports are done; in bubblewrap if that works here.

        ``empty`` is an empty working folder: onnxruntime opens files there that a model names. Raise ChildGoneError.
        """
        bubblewrap = sandbox.bubblewrap_argv(read_only=_CODE, environment=_ENVIRONMENT) or []
        process = await asyncio.create_subprocess_exec(
            *bubblewrap,
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
            child._pid = _interpreter_pid(process.pid)
        except BaseException:
            child._kill_unready()
            await child.reaped()
            raise
        return child

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    def cpu_ns(self) -> int:
        """Return the nanoseconds of processor time so far (user and system, all threads), 0 when the process is gone.

        The agent reads the clock itself and trusts no figure of the child. The clock id is that of
        clock_getcpuclockid(3).
        """
        try:
            return time.clock_gettime_ns((~self._pid << 3) | 2)
        except OSError:
            return 0

    def peak_rss_bytes(self) -> int:
        """Return the largest resident size so far (VmHWM), 0 when the process is gone."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = Path(f"/proc/{self._pid}/status").read_text(encoding="ascii", errors="replace")
            return int(status.partition("VmHWM:")[2].split()[0]) * 1024
        return 0

    async def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Send a frame. Raise ChildGoneError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode_frame(header, body))
            self._process.stdin.write(body)
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:  # RuntimeError: the transport is closed
            raise await self._gone("the child closed its input") from error

    async def receive(self, *, max_body_bytes: int) -> tuple[dict[str, Any], bytes]:
        """Return the next frame: (header, body). Raise ChildGoneError, also for a body over ``max_body_bytes``."""
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
        """Kill the child and everything in its sandbox at once. `reaped` collects the process afterwards."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _kill_unready(self) -> None:
        """Kill a child that is still starting, and the processes that its sandbox has started.

        Bubblewrap's second process dies with the first only from a certain moment on; before that it would wait for its
        dead parent for ever. The first process is stopped (SIGSTOP) so that it cannot start another one during the
        search.
        """
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            os.killpg(self._process.pid, signal.SIGSTOP)
            started = psutil.Process(self._process.pid).children(recursive=True)
            self.kill()
            for process in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    async def reaped(self) -> None:
        """Kill the child if it lives, and wait until it has ended."""
        self.kill()
        await self._process.wait()
        await self._listener

    async def _gone(self, what: str) -> ChildGoneError:
        """Kill what may be left of the child and return the error that says why it stopped answering.

        bubblewrap reports a child killed by a signal as exit code 128 + signal.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await self._process.wait()
        self.kill()
        code = self._process.returncode
        number = None if code is None else -code if code < 0 else code - 128 if code > 128 else None
        stderr = bytes(self._stderr_tail).decode(errors="replace").strip()
        return ChildGoneError(f"{what}; exit code {code}; last output: {stderr!r}", number)

    async def _listen(self) -> None:
        """Read standard error so that the pipe never fills up, and keep its end for the log."""
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._stderr_tail += chunk
            del self._stderr_tail[:-_STDERR_BYTES]


def _interpreter_pid(pid: int) -> int:
    """Return the interpreter's pid outside the sandbox. In bubblewrap it is the child of two other processes."""
    try:
        descendants = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess as error:
        raise ChildGoneError("the child ended while starting") from error
    return int(descendants[-1].pid) if descendants else pid
