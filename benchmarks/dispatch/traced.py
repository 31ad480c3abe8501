"""Run one of the site's processes and time each of its SQL statements, for the traced round only.

`python -m benchmarks.dispatch.traced <name> <arguments of the interpreter>` runs `python <arguments>`. The totals are
written to `$BENCHMARK_TRACE/<name>-<pid>.json` every half second as {sql: [calls, rows, seconds]}.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMIT = "COMMIT"
WRITE_EVERY_S = 0.5


class Tracer:
    """The totals of one process, which several threads add to."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.totals: dict[str, list[float]] = {}
        self.lock = threading.Lock()

    def add(self, sql: str, rows: int, seconds: float) -> None:
        """Add one execution of a statement."""
        with self.lock:
            total = self.totals.setdefault(sql, [0, 0, 0.0])
            total[0] += 1
            total[1] += max(0, rows)
            total[2] += seconds

    def execute(self, run: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Time a statement, as a Django execute wrapper. The time includes binding the parameters on the client."""
        started = time.perf_counter()
        try:
            return run(sql, params, many, context)
        finally:
            cursor = context["cursor"]
            self.add(str(sql), cursor.rowcount, time.perf_counter() - started)

    def write_forever(self) -> None:
        """Write the totals again and again, each time replacing the file in one step."""
        while True:
            time.sleep(WRITE_EVERY_S)
            with self.lock:
                text = json.dumps(self.totals)
            path = self.folder / f"{self.name}-{os.getpid()}.json"
            temporary = path.with_suffix(".new")
            temporary.write_text(text)
            temporary.replace(path)

    def start_writer(self) -> None:
        """Start the thread that writes."""
        threading.Thread(target=self.write_forever, daemon=True).start()


def install(name: str, folder: Path) -> None:
    """Time all statements of this process from now on."""
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.signals import connection_created

    tracer = Tracer(name, folder)

    def on_connection(connection: Any, **_: Any) -> None:
        if tracer.execute not in connection.execute_wrappers:
            connection.execute_wrappers.append(tracer.execute)

    connection_created.connect(on_connection, weak=False)
    commit = BaseDatabaseWrapper._commit

    def timed_commit(self: Any) -> Any:
        started = time.perf_counter()
        try:
            return commit(self)
        finally:
            tracer.add(COMMIT, 0, time.perf_counter() - started)

    BaseDatabaseWrapper._commit = timed_commit
    time_batches(tracer)
    tracer.start_writer()
    # Celery's worker forks, and a fork does not copy threads: the child starts a writer of its own.
    os.register_at_fork(after_in_child=lambda: (tracer.totals.clear(), tracer.start_writer()))


def time_batches(tracer: Tracer) -> None:
    """Time the batches of `core.db`, which do not pass through Django's cursors.

    Call it before any module imports these functions by name.
    """
    from core import db

    run, insert = db.execute_batch, db.insert_batch

    def execute_batch(sql: str, arrays: Any) -> Any:
        started = time.perf_counter()
        try:
            return run(sql, arrays)
        finally:
            tracer.add(
                sql,
                max((len(array) for array in arrays if isinstance(array, list)), default=0),
                time.perf_counter() - started,
            )

    def insert_batch(table: str, columns: Any, rows: Any) -> None:
        started = time.perf_counter()
        insert(table, columns, rows)
        tracer.add(f"COPY {table}", len(rows), time.perf_counter() - started)

    db.execute_batch, db.insert_batch = execute_batch, insert_batch


def main() -> None:
    """Install the tracer and run the given module or program."""
    name, *arguments = sys.argv[1:]
    install(name, Path(os.environ["BENCHMARK_TRACE"]))
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
