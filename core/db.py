import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import psycopg
from django.db import OperationalError, connection, models, transaction

P = ParamSpec("P")
R = TypeVar("R")
DEADLOCK, SERIALIZATION = "40P01", "40001"
ATTEMPTS = 4


def atomic_retrying(work: Callable[P, R]) -> Callable[P, R]:
    """Run in a transaction of its own, again when PostgreSQL chose it as a deadlock's victim. Not for nesting."""

    @functools.wraps(work)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(ATTEMPTS):
            try:
                with transaction.atomic():
                    return work(*args, **kwargs)
            except OperationalError as error:
                victim = getattr(error.__cause__, "sqlstate", None) in (DEADLOCK, SERIALIZATION)
                if not victim or attempt == ATTEMPTS - 1 or transaction.get_connection().in_atomic_block:
                    raise
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    return wrapper


def execute_batch(sql: str, arrays: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement whose parameters (`%b`) are long lists, inside a transaction; its rows, if it has any.

    Sent apart from the statement and in binary. Django's cursors write every element into the SQL text, which for two
    thousand signed records takes four times as long, on both sides. Raises Django's database errors.
    """
    with connection.wrap_database_errors, psycopg.Cursor(_session()) as cursor:
        cursor.execute(sql, arrays)
        return cursor.fetchall() if cursor.description else []


def insert_batch(table: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> None:
    """COPY rows into a table, inside a transaction; `columns` are names and PostgreSQL types. Raises Django's database errors.

    Half the time of `execute_batch` with unnest. Triggers and constraints hold as ever.
    """
    copy = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    with connection.wrap_database_errors, psycopg.Cursor(_session()) as cursor, cursor.copy(copy) as stream:
        stream.set_types(list(columns.values()))
        for row in rows:
            stream.write_row(row)


def from_jsonb(value: Any) -> Any:
    """A jsonb column's value: Django's raw cursors hand it over as text, psycopg's own as what it says."""
    return json.loads(value) if isinstance(value, str) else value


def _session() -> psycopg.Connection[Any]:
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("batches are written in a transaction")
    session: psycopg.Connection[Any] = connection.connection
    return session


def next_id(model: type[models.Model]) -> int:
    """The id of a row that is still to be written: two rows that name each other need one beforehand."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [model._meta.db_table])
        return int(cursor.fetchone()[0])
