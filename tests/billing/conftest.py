from collections.abc import Iterator

import pytest
from django.db import connection

# PostgreSQL's own triggers off for the statement: the rules refuse TRUNCATE, and a test may not leave rows behind.
EMPTY = "SET LOCAL session_replication_role = replica; TRUNCATE {tables} CASCADE"


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """A database in which commits are real, for tests with threads. Emptied afterwards, but for migrated rows."""
    with django_db_blocker.unblock():
        migrated = _tables_with_rows()
        try:
            yield
        finally:
            if left := _tables_with_rows() - migrated:
                with connection.cursor() as cursor:
                    cursor.execute(f"BEGIN; {EMPTY.format(tables=', '.join(sorted(left)))}; COMMIT")
            connection.close()


def _tables_with_rows() -> set[str]:
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT EXISTS (SELECT FROM "{table}")')
            if cursor.fetchone()[0]:
                found.add(table)
    return found
