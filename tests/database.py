"""Database access beyond the application's role.

Tests use it to stage what the site could not do, and to test what rules refuse the owner.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from django.db import DatabaseError, connection, transaction
from psycopg.pq import TransactionStatus

LONG_SQL = 10_000  # characters
_prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # psycopg's connection -> names of its statements


def prepare_long_statements(run: Any, sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
    """Execute a statement, a long one as a prepared statement: planning the ledger's checks takes ten times as long as
    running them on the few rows of a test. It is a wrapper as `connection.execute_wrapper` takes them.
    """
    if many or parameters or len(sql) < LONG_SQL:
        return run(sql, parameters, many, context)
    name = f"long_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
    names = _prepared.setdefault(context["connection"].connection, set())
    if name not in names:
        run(f"PREPARE {name} AS {sql}", None, False, context)
        names.add(name)
    return run(f"EXECUTE {name}", None, False, context)


def execute(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run SQL and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, list(parameters) or None)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def as_owner() -> Iterator[None]:
    """Run the block as the owner of the tables. The rollback of a failed transaction also restores the role."""
    role = execute("SELECT current_user")[0][0]
    execute("SET ROLE NONE")
    try:
        yield
    finally:
        if connection.connection.info.transaction_status != TransactionStatus.INERROR:
            execute(f'SET ROLE "{role}"')


@contextmanager
def unguarded() -> Iterator[None]:
    """Switch triggers and foreign keys off, as on a replica, to stage what the rules would not allow."""
    with as_owner():
        execute("SET session_replication_role = replica")
        yield
        execute("SET session_replication_role = DEFAULT")


@contextmanager
def refused(sqlstate: str) -> Iterator[None]:
    """Assert that the database refuses the block, run as the owner, with this SQLSTATE.

    What the block did is rolled back.
    """
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner():
        yield
    assert caught.value.__cause__.sqlstate == sqlstate, caught.value


def sqlstate_of(sql: str, parameters: object = ()) -> str:
    """Run SQL as the owner, whom only rules stop. Return the SQLSTATE of the refusal, or "" if it succeeded."""
    try:
        with transaction.atomic(), as_owner(), connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # TRUNCATE fails while deferred checks are pending
            cursor.execute(sql, parameters)
    except DatabaseError as error:
        return error.__cause__.sqlstate
    return ""
