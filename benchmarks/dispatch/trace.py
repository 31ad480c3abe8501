"""The traced round: seconds by SQL statement and process, and by trigger function. It is slower than a timed round."""

from __future__ import annotations

import importlib
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psycopg
from django.db import connection

MODULES = (
    "compute.dispatch.dispatch",
    "compute.dispatch.leases",
    "compute.sync.reports",
    "compute.sync.sync",
    "compute.dispatch.verification",
    "compute.jobs.jobs",
    "billing.orders.settlement",
    "billing.ledger.posting",
)

FUNCTIONS = "SELECT funcname, calls, total_time / 1000, self_time / 1000 FROM pg_stat_user_functions ORDER BY 3 DESC"


@dataclass(frozen=True)
class Line:
    """The totals of one SQL statement in one process."""

    process: str
    statement: str
    calls: int
    rows: int
    seconds: float


def track_functions(on: bool) -> None:
    """Let PostgreSQL measure the time of trigger functions, in sessions that begin after this call."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(
            f"ALTER DATABASE {connection.ops.quote_name(connection.settings_dict['NAME'])} "
            f"SET track_functions = '{'pl' if on else 'none'}'"
        )
        owner.execute("SELECT pg_stat_reset()")


def statements(folder: Path) -> list[Line]:
    """Return the totals of all traced processes, most seconds first.

    A statement is named by its constant if it has one.
    """
    names = _names()
    totals: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for path in folder.glob("*.json"):
        process = path.name.split("-")[0]
        for sql, (calls, rows, seconds) in json.loads(path.read_text()).items():
            total = totals[process, names.get(sql) or _short(sql)]
            total[0] += calls
            total[1] += rows
            total[2] += seconds
    lines = [Line(*key, int(calls), int(rows), seconds) for key, (calls, rows, seconds) in totals.items()]
    return sorted(lines, key=lambda line: -line.seconds)


def functions() -> list[tuple[str, int, float, float]]:
    """Return (function, calls, seconds with what it calls, own seconds)."""
    with connection.cursor() as cursor:
        cursor.execute(FUNCTIONS)
        return list(cursor.fetchall())


def _names() -> dict[str, str]:
    """Return SQL -> name of the constant that holds it."""
    names = {}
    for module in map(importlib.import_module, MODULES):
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, str) and " " in value:
                names[value] = f"{module.__name__.rsplit('.', 1)[1]}.{name}"
    return names


def _short(sql: str) -> str:
    words = " ".join(sql.split())
    return words if len(words) <= 60 else words[:57] + "..."
