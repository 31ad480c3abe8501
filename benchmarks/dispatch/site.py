"""The whole site as processes: PostgreSQL, Redis and NATS, the Celery worker and beat, and the link."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO

import psycopg
import redis

from benchmarks.scratch import FROM_OUTSIDE
from marketplace.local import embedded
from marketplace.local.embedded.children import SPECS
from marketplace.local.embedded.postgres import DATABASE
from marketplace.local.embedded.process import EmbeddedError, Identity, log_tail, spawn, wait_ready
from marketplace.local.embedded.server import private_folder, try_lock

NAMES = ("worker", "beat", "link")


class Site:
    """Context manager that runs the site in a folder of its own, which is emptied first.

    URLs of other servers are ignored.
    """

    def __init__(self, *, home: Path, concurrency: int) -> None:
        self.home, self.concurrency = home, concurrency
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.trace = home / "trace"

    def __enter__(self) -> Site:
        for name in FROM_OUTSIDE:
            os.environ.pop(name, None)
        os.environ |= {
            "DRIVEWAY_HOME": str(self.home),
            "DRIVEWAY_ENV": "development",
            "DRIVEWAY_NATS": "on",
            "DJANGO_SETTINGS_MODULE": "marketplace.settings",
            "ORT_DISABLE_TELEMETRY": "1",
            "PGAPPNAME": "driver",
            "LOG_LEVEL": "INFO",
        }
        self._lock = self._lock_home()
        embedded.provide_secrets(self.home)
        try:
            embedded.provide(*embedded.ALL)
            self._wipe()
            self._migrate()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if "django" in sys.modules:
            from django.db import connection

            connection.close()
            connection.close_pool()
        embedded.leave_servers()
        self._lock.close()

    def start(self, *, traced: bool = False) -> None:
        """Start worker, beat and link. Raises EmbeddedError if one does not become ready."""
        self.trace.mkdir(exist_ok=True)
        (self.home / "beat").mkdir(exist_ok=True)
        for name in NAMES:
            arguments = [part.format(home=self.home, port=0) for part in SPECS[name].arguments]
            if name == "worker":
                arguments[arguments.index("-c") + 1] = str(self.concurrency)
            self._spawn(name, arguments, traced=traced and name != "beat")
        for name, check in (("link", self._link_is_up), ("worker", self._worker_answers)):
            wait_ready(name, self.processes[name], check, log_path=self.log_path(name), timeout_s=60)

    def stop(self) -> None:
        """Stop worker, beat and link."""
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            identity = Identity.of(process.pid)
            if identity:
                identity.stop(grace_s=15)
            process.wait()

    def check(self) -> None:
        """Raise EmbeddedError if a process has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise EmbeddedError(f"{name} has ended.\n{log_tail(self.log_path(name))}")

    def log_path(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.home / "log" / f"{name}.log"

    def pids(self) -> dict[str, int]:
        """Return name -> process id of every process that serves. PostgreSQL counts by its postmaster."""
        servers = {name: server.identity() for name, server in embedded.attached_servers().items()}
        return {
            **{name: process.pid for name, process in self.processes.items()},
            **{name: identity.pid for name, identity in servers.items() if identity},
        }

    def _lock_home(self) -> IO[str]:
        file = (private_folder(self.home) / "benchmark.lock").open("a")
        if not try_lock(file.fileno()):
            raise EmbeddedError(f"another benchmark is running in {self.home}")
        return file

    def _wipe(self) -> None:
        """Delete everything that an earlier run left."""
        url = os.environ["DATABASE_OWNER_URL"]
        with psycopg.connect(url.replace(f"/{DATABASE}?", "/postgres?"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{DATABASE}"')
        redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
        for folder in ("blobs", "trace", "beat"):
            shutil.rmtree(self.home / folder, ignore_errors=True)

    def _migrate(self) -> None:
        process = spawn(
            [sys.executable, "manage.py", "migrate", "--noinput"],
            log_path=self.log_path("migrate"),
            environment=os.environ,
            cwd=embedded.REPOSITORY,
        )
        if process.wait(300):
            raise EmbeddedError(log_tail(self.log_path("migrate"), 40))

    def _spawn(self, name: str, arguments: list[str], *, traced: bool) -> None:
        if traced:
            arguments = ["-m", "benchmarks.dispatch.traced", name, *arguments]
        self.log_path(name).unlink(missing_ok=True)
        self.processes[name] = spawn(
            [sys.executable, *arguments],
            log_path=self.log_path(name),
            environment={**os.environ, "PGAPPNAME": name, "BENCHMARK_TRACE": str(self.trace), "PYTHONUNBUFFERED": "1"},
            cwd=embedded.REPOSITORY,
            dies_with_parent=True,
        )

    def _link_is_up(self) -> bool:
        return "link is up" in log_tail(self.log_path("link"))

    def _worker_answers(self) -> bool:
        from marketplace.celery import app

        try:
            return bool(app.control.ping(timeout=0.5))
        except OSError:
            return False


def wait_until(what: str, check: object, *, timeout_s: float, site: Site, every_s: float = 0.01) -> float:
    """Poll until `check()` is true and return the monotonic time.

    Raises EmbeddedError on a timeout or a dead process.
    """
    deadline, checked_s = time.monotonic() + timeout_s, time.monotonic()
    while not check():  # type: ignore[operator]
        now = time.monotonic()
        if now > deadline:
            raise EmbeddedError(f"{what}: not within {timeout_s:.0f} s")
        if now - checked_s > 1:
            site.check()
            checked_s = now
        time.sleep(every_s)
    return time.monotonic()
