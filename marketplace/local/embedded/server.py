"""What the local servers have in common: one home folder, shared by any number of our processes.

The first process to attach starts the server and the last one to leave stops it. Who is attached is a folder
of files named by pid and start time, so that a process that was killed does not count. If nobody is left but
the server still runs (its users were killed), the next start ends it first and begins afresh.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from marketplace.local.embedded.process import (
    READY_TIMEOUT_S,
    EmbeddedError,
    Identity,
    free_port,
    log_tail,
    spawn,
    wait_ready,
)

State = dict[str, Any]


class Server(ABC):
    """One local server under `home`. Subclasses say how to prepare, start and reach it."""

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    grace_s: ClassVar[float] = 10.0

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = private_folder(home / self.name)
        self.log_path = private_folder(home / "log") / f"{self.name}.log"
        self.run = private_folder(home / "run")
        self.state_path = self.run / f"{self.name}.json"
        self.handles = private_folder(self.run / f"{self.name}.users")
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self, state: State) -> list[str]:
        """Write files, add what must be kept (port, password) to `state`, and return the command to run."""

    @abstractmethod
    def is_ready(self, state: State) -> bool:
        """Return whether the server answers in its own protocol."""

    @abstractmethod
    def environment(self, state: State) -> dict[str, str]:
        """Return the variables that tell the site where the server is."""

    def process_environment(self, state: State) -> dict[str, str]:
        """Return variables for the server's process in addition to our own."""
        return {}

    def user(self) -> str | None:
        """Return the system user to run as, or None for ours."""
        return None

    def finish(self, state: State) -> None:
        """Do what is needed once after each start, when the server answers."""
        return

    def end_leftover(self) -> None:
        """Clear what an earlier run left, other than its recorded process, before a start."""
        return

    def attach(self) -> dict[str, str]:
        """Join the running server, or start it. Return its variables. Raises EmbeddedError."""
        with self._lock():
            if not (self._users() and self.is_running() and self._answers()):
                self._end()
                self._start()
            self._handle().touch()
            return self.environment(self.state())

    def release(self) -> None:
        """Stop using the server. The last process to do so stops it."""
        with self._lock():
            self._handle().unlink(missing_ok=True)
            if not self._users():
                self._end()

    def start(self) -> None:
        """Start the server again at its old address, if it does not run. Raises EmbeddedError."""
        with self._lock():
            if not self.is_running():
                self._end()
                self._start()

    def stop(self) -> None:
        """Stop the server although others use it. They stay attached and find it again after `start`."""
        with self._lock():
            self._end()

    def kill(self) -> None:
        """Send SIGKILL to the server, for tests of a crash."""
        identity = self.identity()
        if identity:
            identity.send(signal.SIGKILL)
            identity.wait(READY_TIMEOUT_S)

    def is_running(self) -> bool:
        """Return whether the recorded process is alive (not whether it answers)."""
        identity = self.identity()
        return identity is not None and identity.is_running()

    def identity(self) -> Identity | None:
        """Return the recorded process of the server, alive or not."""
        state = self.state()
        return Identity(state["pid"], state["created_at"]) if state.get("pid") else None

    def state(self) -> State:
        """Return what is kept between starts: address, secrets, and the process while it runs."""
        try:
            state: State = json.loads(self.state_path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return state

    def port(self, state: State) -> int:
        """Return the port of the last run if it is still free, so that a restarted server is found again."""
        state["port"] = free_port(state.get("port"))
        return int(state["port"])

    def _start(self) -> None:
        state = self.state()
        command = self.prepare(state)
        environment = os.environ | self.process_environment(state)
        self.process = spawn(
            command, log_path=self.log_path, environment=environment, cwd=self.folder, user=self.user()
        )
        identity = Identity.of(self.process.pid)
        # Recorded before it is ready: if we are killed while waiting, the next start must still know it.
        state |= {"pid": self.process.pid, "created_at": identity.created_at if identity else 0.0}
        write_private(self.state_path, json.dumps(state))
        try:
            wait_ready(self.title, self.process, lambda: self.is_ready(state), log_path=self.log_path)
            self.finish(state)
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        identity = self.identity()
        if identity and identity.is_running():
            identity.stop(first=self.stop_signal, grace_s=self.grace_s)
            if identity.is_running():
                raise EmbeddedError(f"{self.title} (pid {identity.pid}) does not stop.\n{log_tail(self.log_path)}")
        if self.process:
            self.process.poll()
        self.end_leftover()
        state = self.state()
        if state.pop("pid", None):
            state.pop("created_at", None)
            write_private(self.state_path, json.dumps(state))

    def _answers(self, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Return whether a running server gets ready: the process that started it may have been killed meanwhile.

        The time limit is long, because a server that does not answer is ended although others use it.
        """
        state, deadline = self.state(), time.monotonic() + timeout_s
        while not self.is_ready(state):
            if time.monotonic() > deadline or not self.is_running():
                return False
            time.sleep(0.02)
        return True

    def _handle(self) -> Path:
        own = Identity.own()
        return self.handles / f"{own.pid}-{own.created_at:.2f}"

    def _users(self) -> list[Identity]:
        """Return the living processes that are attached. Remove the files of dead ones."""
        users = []
        for path in self.handles.iterdir():
            pid, _, created_at = path.name.partition("-")
            user = Identity(int(pid), float(created_at))
            if user.is_running():
                users.append(user)
            else:
                path.unlink(missing_ok=True)
        return users

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with hold_lock(self.run / f"{self.name}.lock"):
            yield


@contextlib.contextmanager
def hold_lock(path: Path, timeout_s: float = 3 * READY_TIMEOUT_S) -> Iterator[None]:
    """Hold an exclusive lock on a file. It ends if we die. Raises EmbeddedError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    with path.open("a") as file:
        while not try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise EmbeddedError(f"another process has held {path} for more than {timeout_s:.0f} s")
            time.sleep(0.02)
        yield


def try_lock(descriptor: int) -> bool:
    """Take an exclusive flock(2) without waiting. Return False if another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, with ordinary parents. Return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    return path


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
