"""Beyond the application's role: what a test stages that the site could not do, and what the rules refuse even to the owner."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from psycopg.pq import TransactionStatus


def execute(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, list(parameters) or None)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def as_owner() -> Iterator[None]:
    """As the owner of the tables. What undoes a failed transaction undoes this as well."""
    role = execute("SELECT current_user")[0][0]
    execute("SET ROLE NONE")
    try:
        yield
    finally:
        if connection.connection.info.transaction_status != TransactionStatus.INERROR:
            execute(f'SET ROLE "{role}"')


@contextmanager
def unguarded() -> Iterator[None]:
    """Triggers and foreign keys off, as on a replica: to stage what the rules would not let happen."""
    with as_owner():
        execute("SET session_replication_role = replica")
        yield
        execute("SET session_replication_role = DEFAULT")


@contextmanager
def refused(sqlstate: str) -> Iterator[None]:
    """The block, run as the owner, must be refused by the database with this SQLSTATE; what it did before is undone."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner():
        yield
    assert caught.value.__cause__.sqlstate == sqlstate, caught.value


def sqlstate_of(sql: str, parameters: object = ()) -> str:
    """Run raw SQL as the owner, whom only rules stop; the SQLSTATE of the refusal, or "" when it had its way."""
    try:
        with transaction.atomic(), as_owner(), connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or TRUNCATE would trip over checks still to come
            cursor.execute(sql, parameters)
    except DatabaseError as error:
        return error.__cause__.sqlstate
    return ""
