"""Run a child process once with bytes as input and output, and kill everything that it started."""

import contextlib
import os
import selectors
import signal
import subprocess  # this module is the one that starts children
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 64 * 1024
_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class FinishedChild:
    """The outcome of a child. ``stdout`` and ``stderr`` are cut at their limits."""

    returncode: int
    stdout: bytes
    stderr: bytes
    wall_seconds: float
    timed_out: bool
    overflowed: bool

    @property
    def signal(self) -> int | None:
        """The signal that ended the child, or None. bubblewrap reports it as exit code 128 + signal."""
        if self.returncode < 0:
            return -self.returncode
        return self.returncode - 128 if self.returncode > 128 else None


def run_child(
    argv: Sequence[str],
    *,
    stdin: Sequence[bytes],
    environment: Mapping[str, str],
    cwd: Path,
    wall_seconds: float,
    stdout_cap_bytes: int,
    stderr_cap_bytes: int = 4096,
) -> FinishedChild:
    """Start ``argv`` in a new process group, send it ``stdin``, collect its output, and kill the whole group.

    A child that prints more than ``stdout_cap_bytes`` is killed (``overflowed``), as is one that runs longer than
    ``wall_seconds`` (``timed_out``). Surplus stderr is discarded. Raise OSError if the program cannot be started.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        cwd=cwd,
        start_new_session=True,
        bufsize=0,
    )
    exchange = _Exchange(process, stdin, stdout_cap_bytes, stderr_cap_bytes)
    try:
        exited = exchange.run(started + wall_seconds)
    finally:
        kill_group(process)
        exchange.close()
    return FinishedChild(
        returncode=process.returncode,
        stdout=bytes(exchange.stdout),
        stderr=bytes(exchange.stderr),
        wall_seconds=time.monotonic() - started,
        timed_out=not exited and not exchange.overflowed,
        overflowed=exchange.overflowed,
    )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a child started with ``start_new_session=True`` and everything that it started, and reap it.

    Do nothing for a child that was reaped already: its process id may belong to another process by now.
    """
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Exchange:
    """The three pipes of one child, served together so that none of them can block the others."""

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: Sequence[bytes], stdout_cap: int, stderr_cap: int
    ) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self.overflowed = False
        self._pid = process.pid
        self._pending = [memoryview(part) for part in stdin if part]
        self._caps = (stdout_cap, stderr_cap)
        self._selector = selectors.DefaultSelector()
        self._pipes = [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe is not None]
        for pipe, serve in zip(self._pipes, (self._feed, self._read_stdout, self._read_stderr), strict=True):
            os.set_blocking(pipe.fileno(), False)
            event = selectors.EVENT_WRITE if pipe is process.stdin else selectors.EVENT_READ
            self._selector.register(pipe, event, serve)

    def run(self, deadline: float) -> bool:
        """Serve the pipes. Return True when the child has ended, False at the deadline or when it printed too much."""
        while (left := deadline - time.monotonic()) > 0 and not self.overflowed:
            if not self._selector.get_map():
                if self._exited():
                    return True
                time.sleep(min(left, _POLL_SECONDS))
                continue
            for key, _ in self._selector.select(left):
                key.data(key.fileobj)
        return False

    def close(self) -> None:
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()

    def _exited(self) -> bool:
        """Return whether the child has ended. It is not reaped here (WNOWAIT), so its process group keeps its id."""
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _feed(self, pipe: IO[bytes]) -> None:
        try:
            if self._pending:
                written = os.write(pipe.fileno(), self._pending[0][:_CHUNK_BYTES])
                self._pending[0] = self._pending[0][written:]
                if self._pending[0]:
                    return
                self._pending.pop(0)
        except BrokenPipeError:
            self._pending.clear()
        if not self._pending:
            self._end(pipe)

    def _read_stdout(self, pipe: IO[bytes]) -> None:
        if not self._read(pipe, self.stdout, self._caps[0]):
            self.overflowed = True

    def _read_stderr(self, pipe: IO[bytes]) -> None:
        self._read(pipe, self.stderr, self._caps[1])

    def _read(self, pipe: IO[bytes], into: bytearray, cap: int) -> bool:
        """Read one chunk. Return False if it exceeds the limit."""
        chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
        if not chunk:
            self._end(pipe)
        room = cap - len(into)
        into += chunk[:room]
        return len(chunk) <= room

    def _end(self, pipe: IO[bytes]) -> None:
        self._selector.unregister(pipe)
        pipe.close()
