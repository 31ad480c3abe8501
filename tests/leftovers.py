"""Committed rows in the test database: which fixtures may leave them, and what happens to rows that stay.

A test that rolls back leaves nothing. Transactional tests and the worlds of a package commit, and remove their rows. If
that fails, the next test would fail for a reason that is not its own. So the tables are checked before a test that
commits or follows one that may have: rows are removed, and the error names the tests that ran since the tables were
last empty.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from tests.database import execute

# Rows that migrations wrote are part of the schema.
SCHEMA_ROWS = {
    "accounts_statetransition",
    "accounts_consentnotice",
    "auth_permission",
    "django_content_type",
    "django_migrations",
}
_living: set[str] = set()  # fixtures whose committed rows are meant to be there
_writers: list[str] = []  # fixtures and tests that may have committed rows since the tables were last empty


class RowsLeft(Exception):
    """Rows of an earlier test were still there. They have been removed."""


@contextmanager
def committed(fixture: str) -> Iterator[None]:
    """Let a fixture commit rows that outlive a test. Remove them when it ends, also if creating them failed."""
    _living.add(fixture)
    _writers.append(fixture)
    try:
        yield
    finally:
        _living.discard(fixture)
        remove()
        _writers.clear()


@contextmanager
def rolled_back(blocker: Any) -> Iterator[None]:
    """Open the database to a fixture of a module, in a transaction that is rolled back.

    The tables are checked first: later, the fixture's own rows would be taken for rows that an earlier test left.
    """
    with blocker.unblock():
        look()
        with transaction.atomic():
            yield
            transaction.set_rollback(True)


def remove() -> None:
    """Delete all rows but those of the schema."""
    call_command("flush", verbosity=0, interactive=False)


def tables_with_rows() -> list[str]:
    """Return the tables that hold more than the schema's rows."""
    names = sorted(set(connection.introspection.django_table_names(only_existing=True)) - SCHEMA_ROWS)
    union = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)
    return [name for (name,) in execute(union)]


def look() -> None:
    """Raise RowsLeft if there are rows that belong to no living fixture. The rows are removed first."""
    writers, rows = list(_writers), tables_with_rows()
    _writers.clear()
    if rows:
        remove()
        named = ", ".join(writers) or "a test that committed although it is not transactional"
        raise RowsLeft(f"rows were left in {', '.join(rows)}; since the tables were last empty ran: {named}")


def is_transactional(request: Any) -> bool:
    """Return whether a test commits what it writes."""
    marker = request.node.get_closest_marker("django_db")
    return bool(
        (marker and marker.kwargs.get("transaction")) or {"transactional_db", "live_server"} & {*request.fixturenames}
    )


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    """Check the tables before pytest-django opens the database to a test: no transaction is open yet."""
    if fixturedef.argname == "_django_db_helper" and not _living:
        commits = is_transactional(request)
        if commits or _writers:  # tests that roll back leave no rows
            with request.getfixturevalue("django_db_blocker").unblock():
                look()
        if commits:
            _writers.append(request.node.nodeid)
    return (yield)
