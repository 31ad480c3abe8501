"""The whole site on one machine: servers, migrations, web, worker, beat and link, in order, up and down."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

from marketplace.local import embedded
from marketplace.local.embedded.children import CHILDREN, WEB, Children, ChildSpec, end_leftovers
from marketplace.local.embedded.process import EmbeddedError, exit_reason, free_port, log_tail, port_is_free
from marketplace.local.embedded.server import Server, private_folder, try_lock, write_private
from marketplace.local.embedded.supervisor import Supervisor, WatchedProcess

POLL_S = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stack:
    """Context manager that runs the site under `embedded.home()`.

    Raises EmbeddedError when something does not start, or when another stack runs in the same home. While it
    is entered, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, as Ctrl-C does, so that leaving
    always stops everything. Enter it in the main thread: children are tied to the thread that starts them.
    """

    def __init__(self, *, report: Callable[[str], None] | None = None) -> None:
        self.report = report or _to_stderr
        self.home = embedded.home()
        self.port = 0
        self.environment: dict[str, str] = {}
        self.children: Children | None = None
        self.supervisor = Supervisor(lambda line: self.report(f"{time.strftime('%H:%M:%S')}  {line}"))
        self._stopped: set[str] = set()
        self._joined: list[str] = []
        self._lock_file: IO[str] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._is_interrupted = self._is_starting = False

    @property
    def url(self) -> str:
        """The address of the web server."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Stack:
        if threading.current_thread() is not threading.main_thread():
            raise EmbeddedError("a Stack must be entered in the main thread")
        embedded.read_dotenv()
        self.home = embedded.home()
        self._lock_home()
        try:
            for number in SIGNALS:
                self._handlers[number] = signal.signal(number, self._interrupt)
            self._start_everything()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop all in reverse order. Signals wait meanwhile: a second Ctrl-C must not leave half a stack."""
        with _signals_ignored():
            self._stop_everything()
            self._unlock_home()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def alive(self) -> dict[str, bool]:
        """Return by name whether each process runs: embedded servers, then children."""
        servers = {name: server.is_running() for name, server in embedded.attached_servers().items()}
        return servers | (self.children.alive() if self.children else {})

    def check(self) -> None:
        """Raise EmbeddedError, with the end of the log, if a process ended that nobody asked to stop."""
        for name, runs in self.alive().items():
            if not runs and name not in self._stopped:
                raise EmbeddedError(f"{name} {self.exit_reason(name)}.\n{log_tail(self.log_path(name))}")

    def keep_up(self, each: Callable[[], None] = lambda: None) -> None:
        """Start again what ends by itself, until KeyboardInterrupt (Ctrl-C, SIGTERM). `each` is called twice a second.

        Raises EmbeddedError when a server or a process of the site keeps ending.
        """
        while not self._is_interrupted:
            self.supervisor.check_all()
            each()
            time.sleep(POLL_S)
        raise KeyboardInterrupt

    def add(self, spec: ChildSpec) -> None:
        """Start one more child, and start it again when it ends by itself. If it is given up, the site continues."""
        assert self.children is not None, "the stack is not entered"
        self.children.specs[spec.name] = spec
        self._start_child(spec.name)
        self.supervisor.add(self._watched_process(spec.name, is_essential=False))

    def has_done(self, name: str) -> bool:
        """Return whether a child that runs once has done its work."""
        return self.children is not None and name in self.children.processes and self.children.has_done(name)

    def exit_reason(self, name: str) -> str:
        """Return in words how a child or an embedded server that does not run has ended."""
        child = self._child(name)
        if child:
            return child.exit_reason(name)
        process = self._server(name).process
        code = process.poll() if process else None  # another process may have started it
        return "ended" if code is None else exit_reason(code)

    def stop(self, name: str) -> None:
        """Stop a child or an embedded server in good order; `check` no longer reports that it does not run."""
        self._stopped.add(name)
        child = self._child(name)
        if child:
            child.stop(name)
        else:
            self._server(name).stop()

    def kill(self, name: str) -> None:
        """Send SIGKILL to a child and its own children, or to an embedded server, as in a crash."""
        self._stopped.add(name)
        child = self._child(name)
        if child:
            child.kill(name)
        else:
            self._server(name).kill()

    def restart(self, name: str) -> None:
        """Stop it if it runs, start it, and wait until it answers (servers and web). The address stays."""
        self.stop(name)
        child = self._child(name)
        if child:
            child.start(name)
            if name == "web":
                child.wait_for_web()
        else:
            self._server(name).start()
        self._stopped.discard(name)

    def log_path(self, name: str) -> Path:
        """Return the log of a child or an embedded server."""
        return self.home / "log" / f"{name}.log"

    def _start_everything(self) -> None:
        before = set(embedded.attached_servers())
        try:
            embedded.provide_all(*embedded.ALL, report=self.report)
        finally:
            self._joined = [name for name in embedded.attached_servers() if name not in before]
        end_leftovers(self.home)
        self.port = self._web_port()
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "marketplace.settings",
            "DRIVEWAY_HOME": str(self.home),
            "DRIVEWAY_URL": self.url,
            "DRIVEWAY_MAILS": str(private_folder(self.home / "mails")),
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONUNBUFFERED": "1",
        }
        # The site's processes do not know who owns the tables.
        owner = {name: url for name in ("DATABASE_OWNER_URL",) if (url := self.environment.pop(name, ""))}
        children = self.children = Children(
            home=self.home, repository=embedded.REPOSITORY, port=self.port, environment=self.environment
        )
        migrate = ("manage.py", "migrate", "--noinput")
        self._timed("Tables", lambda: children.run("migrate", *migrate, variables=owner))
        private_folder(self.home / "beat")
        # The web server first and alone, so that the first page does not wait for workers.
        self._start_child(WEB.name)
        self._timed("Site", children.wait_for_web)
        for spec in CHILDREN:
            if spec.name != WEB.name and (os.environ.get("NATS_URL") or not spec.needs_nats):
                self._start_child(spec.name)
        self.check()
        for name in self.alive():
            self.supervisor.add(self._watched_process(name))

    def _stop_everything(self) -> None:
        started_at = time.monotonic()
        if self.children:
            self.children.signal_all()
            for name in reversed(self.children.processes):
                self.stop(name)
        if self._joined:
            embedded.leave_servers(*self._joined)
        self.report(f"Everything stopped in {time.monotonic() - started_at:.1f} s")

    def _timed(self, what: str, step: Callable[[], None]) -> None:
        started_at = time.monotonic()
        step()
        self.report(f"{what} ready in {time.monotonic() - started_at:.1f} s")

    def _child(self, name: str) -> Children | None:
        return self.children if self.children and name in self.children.processes else None

    def _watched_process(self, name: str, *, is_essential: bool = True) -> WatchedProcess:
        """Return what the supervisor needs to know of a child or a server. One that was asked to stop counts as running."""
        child = self._child(name)

        def is_running() -> bool:
            return name in self._stopped or (child.is_alive(name) if child else self._server(name).is_running())

        def start() -> None:
            if child:
                self._start_child(name)
            else:
                self._server(name).start()

        reason = partial(self.exit_reason, name)
        return WatchedProcess(name, is_running, reason, start, self.log_path(name), is_essential=is_essential)

    def _server(self, name: str) -> Server:
        try:
            return embedded.attached_servers()[name]
        except KeyError:
            raise EmbeddedError(f"this stack does not run {name}, but {', '.join(self.alive())}") from None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # Noted as well, because Python drops what is raised in some places, such as its own hooks around a fork.
        self._is_interrupted = True
        if not self._is_starting:
            raise KeyboardInterrupt

    def _start_child(self, name: str) -> None:
        """Start a child; a signal that comes meanwhile interrupts afterwards."""
        assert self.children is not None, "the stack is not entered"
        self._is_starting = True
        try:
            self.children.start(name)
        finally:
            self._is_starting = False
        if self._is_interrupted:
            raise KeyboardInterrupt

    def _web_port(self) -> int:
        """Return DRIVEWAY_PORT, else the port of the last run if it is free, else any. The fake Stripe reads it too."""
        wanted, kept = os.environ.get("DRIVEWAY_PORT"), self.home / "run" / "web.port"
        if wanted:
            if not wanted.isdigit() or not port_is_free(int(wanted)):
                raise EmbeddedError(f"DRIVEWAY_PORT is {wanted}, which is not a free port")
            port = int(wanted)
        else:
            port = free_port(int(kept.read_text()) if kept.exists() else None)
        write_private(kept, str(port))
        return port

    def _lock_home(self) -> None:
        file = (private_folder(self.home / "run") / "stack.lock").open("a+")
        if not try_lock(file.fileno()):
            file.seek(0)
            pid = file.read().strip() or "unknown"
            file.close()
            raise EmbeddedError(
                f"Driveway already runs in {self.home} (process {pid}). "
                f"Stop it with Ctrl-C or `kill {pid}` first, or set DRIVEWAY_HOME to another folder."
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._lock_file = file

    def _unlock_home(self) -> None:
        if self._lock_file:
            self._lock_file.truncate(0)
            self._lock_file.close()
            self._lock_file = None


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
