"""Our own processes of one stack: web, worker, beat, link, and what `make run` adds to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from marketplace.local.embedded.process import EmbeddedError, Identity, exit_reason, log_tail, spawn, wait_ready
from marketplace.local.embedded.server import write_private

PID_SUFFIX = ".pid.json"
CELERY = ("-m", "celery", "-A", "marketplace")


@dataclass(frozen=True)
class ChildSpec:
    """One process: arguments of the Python interpreter, with {port} and {home} to fill in.

    `environment` replaces the stack's. A child that `speaks` prints to our own standard output. One that runs `once`
    has done its work when it ends with code 0.
    """

    name: str
    arguments: tuple[str, ...]
    needs_nats: bool = False
    grace_s: float = 10.0
    environment: Mapping[str, str] | None = None
    speaks: bool = False
    once: bool = False


WEB = ChildSpec(
    "web",
    (
        *("-m", "uvicorn", "marketplace.asgi:application", "--host", "127.0.0.1", "--port", "{port}"),
        *("--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "5"),
    ),
)
CHILDREN = (
    WEB,
    ChildSpec("worker", (*CELERY, "worker", "-c", "2", "-l", "warning", "--without-gossip", "--without-mingle")),
    ChildSpec("beat", (*CELERY, "beat", "-l", "warning", "-s", "{home}/beat/schedule")),
    ChildSpec("link", ("manage.py", "link"), needs_nats=True),
)
SPECS = {spec.name: spec for spec in CHILDREN}


class Children:
    """The running children of one stack, by name, in the order of their start."""

    def __init__(self, *, home: Path, repository: Path, port: int, environment: Mapping[str, str]) -> None:
        self.home = home
        self.repository = repository
        self.port = port
        self.environment = environment
        self.specs = dict(SPECS)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start a child and note its process. Raises EmbeddedError."""
        spec = self.specs[name]
        if name in self.processes:
            end_orphans(self.processes[name])
        arguments = (part.format(port=self.port, home=self.home) for part in spec.arguments)
        process = self.processes[name] = self._python(
            name, *arguments, environment=spec.environment, speaks=spec.speaks
        )
        identity = Identity.of(process.pid)
        if identity:
            record = {"pid": identity.pid, "created_at": identity.created_at}
            write_private(_pid_path(self.home, name), json.dumps(record))

    def run(
        self, name: str, *arguments: str, variables: Mapping[str, str] | None = None, timeout_s: float = 300.0
    ) -> None:
        """Run Python to its end, with more variables if given. Raises EmbeddedError with its output if it fails."""
        process = self._python(name, *arguments, environment={**self.environment, **(variables or {})})
        try:
            code = process.wait(timeout_s)
        except BaseException:
            process.kill()
            raise
        if code:
            raise EmbeddedError(f"{name} {exit_reason(code)}.\n{log_tail(self.log_path(name), 40)}")

    def wait_for_web(self) -> None:
        """Wait until GET /healthz answers 200. Raises EmbeddedError."""
        log_path = self.log_path("web")
        wait_ready("web", self.processes["web"], self._answers, log_path=log_path)

    def signal_all(self) -> None:
        """Ask all to stop, the last started first, without waiting."""
        for name in reversed(self.processes):
            self.identity(name).send(signal.SIGTERM)

    def stop(self, name: str) -> None:
        """Send SIGTERM to the child. If it takes too long, send SIGKILL to it and to its own children."""
        self.identity(name).stop(grace_s=self.specs[name].grace_s)
        self._forget(name)
        end_orphans(self.processes[name])

    def kill(self, name: str) -> None:
        """Send SIGKILL to the child and to its own children."""
        self.identity(name).send(signal.SIGKILL, group=True)
        self._forget(name)

    def alive(self) -> dict[str, bool]:
        """Return by name whether each child runs, or has done its work."""
        return {name: self.is_alive(name) for name in self.processes}

    def is_alive(self, name: str) -> bool:
        """Return whether a child runs, or has done its work."""
        return self.processes[name].poll() is None or self.has_done(name)

    def has_done(self, name: str) -> bool:
        """Return whether a child that runs once has ended with code 0."""
        return self.specs[name].once and self.processes[name].poll() == 0

    def exit_reason(self, name: str) -> str:
        """Return in words how a child that does not run has ended."""
        return exit_reason(self.processes[name].wait())

    def identity(self, name: str) -> Identity:
        """Return the child's process. Until we have waited for it, its pid cannot be used again."""
        process = self.processes[name]
        found = Identity.of(process.pid) if process.poll() is None else None
        return found or Identity(process.pid, 0.0)

    def log_path(self, name: str) -> Path:
        """Return the path of its log."""
        return self.home / "log" / f"{name}.log"

    def _forget(self, name: str) -> None:
        self.processes[name].wait()
        _pid_path(self.home, name).unlink(missing_ok=True)

    def _python(
        self, name: str, *arguments: str, environment: Mapping[str, str] | None = None, speaks: bool = False
    ) -> subprocess.Popen[bytes]:
        return spawn(
            [sys.executable, *arguments],
            log_path=self.log_path(name),
            environment=self.environment if environment is None else environment,
            cwd=self.repository,
            dies_with_parent=True,
            speaks=speaks,
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def end_orphans(leader: subprocess.Popen[bytes]) -> None:
    """Kill what a dead child left behind in its process group, such as the pool of a Celery worker that was killed.

    While the group has members the kernel gives its number to no other process. A process that has the number all the
    same is a stranger: then the group was empty.
    """
    if leader.poll() is not None and not psutil.pid_exists(leader.pid):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGKILL)


def end_leftovers(home: Path) -> None:
    """End children of a stack that was killed, where the kernel did not. Only under the stack's lock."""
    for path in (home / "run").glob(f"*{PID_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            record = json.loads(path.read_text())
            Identity(record["pid"], record["created_at"]).stop(grace_s=2.0)
        path.unlink(missing_ok=True)


def _pid_path(home: Path, name: str) -> Path:
    return home / "run" / f"{name}{PID_SUFFIX}"
