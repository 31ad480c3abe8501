"""Processes that we start: known by pid and start time, logged to a file, asked to stop and then made to."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
LOG_TAIL_LINES = 25
SERVER_PORTS = range(20000, 32768)
LOG_LIMIT_BYTES = 20_000_000
# How long a server may take to answer. One that ends is noticed at once, so this is for one that hangs: a slow machine must
# never come near it.
READY_TIMEOUT_S = 180.0
ANSWER_TIMEOUT_S = 10.0  # one try of many
# The kernel counts start times in ticks and psutil adds the boot time, which may shift a little with the
# clock.
CREATED_AT_TOLERANCE_S = 2.0


class EmbeddedError(RuntimeError):
    """A local server or process could not be run. The message says which and why, for a person."""


@dataclass(frozen=True)
class Identity:
    """One process, not merely its number: pids are used again, a pid with its start time is not."""

    pid: int
    created_at: float

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Return the running process with this pid, or None.

        A zombie is not running, unless it has threads that have not ended yet: they keep its files and ports open.
        """
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
                return None
            return cls(pid, process.create_time())
        except psutil.NoSuchProcess:
            return None

    @classmethod
    def own(cls) -> Identity:
        """Return this process."""
        return cls(os.getpid(), psutil.Process().create_time())

    def is_running(self) -> bool:
        """Return whether that process still runs, and not a later one with its pid."""
        now = Identity.of(self.pid)
        return now is not None and abs(now.created_at - self.created_at) < CREATED_AT_TOLERANCE_S

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process, or to its whole group. Does nothing if it is gone."""
        if not self.is_running():
            return
        with contextlib.suppress(ProcessLookupError):
            if group and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def stop(self, *, first: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> bool:
        """Send the signal `first`, then kill the group after `grace_s`. Return True if the first signal was enough."""
        self.send(first)
        if self.wait(grace_s):
            return True
        self.send(signal.SIGKILL, group=True)
        self.wait(grace_s)
        return False

    def wait(self, timeout_s: float) -> bool:
        """Wait until the process is gone. Return False if it still runs after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self.is_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def spawn(
    command: Sequence[str],
    *,
    log_path: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    dies_with_parent: bool = False,
    speaks: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, so that Ctrl-C reaches only us and we stop it in order.

    Output goes to the end of `log_path`; with `speaks` only errors do, and the rest goes where ours goes. With
    `dies_with_parent` (Linux) it gets SIGTERM even when we are killed with SIGKILL. Raises EmbeddedError when the
    program cannot be started.
    """
    _rotate(log_path)
    with log_path.open("ab") as log:
        try:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=None if speaks else log,
                stderr=log,
                env=None if environment is None else dict(environment),
                cwd=cwd,
                process_group=0,
                preexec_fn=_death_signal() if dies_with_parent else None,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        except OSError as error:
            raise EmbeddedError(f"cannot start {command[0]}: {error}") from error


def wait_ready(
    name: str,
    process: subprocess.Popen[bytes],
    check: Callable[[], bool],
    *,
    log_path: Path,
    timeout_s: float = READY_TIMEOUT_S,
) -> None:
    """Poll `check` until it is true. Raises EmbeddedError with the end of the log if it never is."""
    deadline = time.monotonic() + timeout_s
    while not check():
        code = process.poll()
        if code is not None:
            raise EmbeddedError(f"{name} {exit_reason(code)} before it was ready.\n{log_tail(log_path)}")
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} was not ready after {timeout_s:.0f} s.\n{log_tail(log_path)}")
        time.sleep(0.02)


def exit_reason(code: int) -> str:
    """ "exited with code 1" or "was ended by SIGKILL"."""
    return f"exited with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def log_tail(log_path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, with its path as a heading."""
    try:
        with log_path.open("rb") as file:
            file.seek(max(0, log_path.stat().st_size - 16_384))
            tail = file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        tail = []
    return "\n".join([f"The end of {log_path}:", *(f"  {line}" for line in tail or ["(empty)"])])


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if it is free, else any free loopback port. Raises EmbeddedError when there is none.

    Below the range from which systems give ports to outgoing connections, or a stranger's connection could sit on
    it just while our server restarts.
    """
    if preferred and port_is_free(preferred):
        return preferred
    for port in random.sample(SERVER_PORTS, 200):
        if port_is_free(port):
            return port
    raise EmbeddedError("no free port was found")


def _rotate(log_path: Path) -> None:
    """Keep one old log beside the current one, so that logs stay small without a daemon."""
    if log_path.exists() and log_path.stat().st_size > LOG_LIMIT_BYTES:
        log_path.replace(log_path.with_suffix(".log.1"))


def _death_signal() -> Callable[[], None] | None:
    """Return what the child runs before exec. prctl(2) is the only way to tie it to its parent.

    Without it a stack that is killed with SIGKILL would leave a web server and workers behind. The signal is
    sent when the *thread* that started the child ends, so children are started from the main thread. The
    library is loaded here, in the parent: after a fork nothing may take a lock.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return partial(_tie_to_parent, libc, os.getpid())


def _tie_to_parent(libc: ctypes.CDLL, parent_pid: int) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have died between fork and prctl; then the signal would never come.
    if os.getppid() != parent_pid:
        os._exit(1)
