"""The cast and real servers.

alice and bob own cars, acme and globex are customers, opal is staff, anonymous is nobody.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management.commands import flush as commands
from django.db import connection, transaction
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client, override_settings

from accounts.models import Organization, Owner, User
from accounts.owners import registration
from tests import factories, hypothesis_profile, template
from tests.database import execute, prepare_long_statements, unguarded
from tests.leftovers import SCHEMA_ROWS

__all__ = ["hypothesis_profile"]  # its import loads the profile
FLUSH_LOCK_WAIT = "60s"


def pytest_collection_finish() -> None:
    """Freeze the loaded objects: full garbage collections would scan them again, a twelfth of the whole run's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, django_db_blocker: Any) -> None:
    """Make test databases clones of a migrated template database."""
    with django_db_blocker.unblock():
        connection.settings_dict["TEST"]["TEMPLATE"] = template.provide(connection)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let the owner create the database, then connect as the application's role.

    This proves that the role's grants suffice.
    """
    parameters = connection.settings_dict["OPTIONS"]
    with django_db_blocker.unblock():
        connection.close()
        connection.close_pool()
    # No commit waits for the disk: it does not matter if a crash of the server loses tests' data.
    parameters["options"] = f"-c role={settings.DATABASE_APP_ROLE} -c synchronous_commit=off"
    try:
        with _flushing_as_owner(), connection.execute_wrapper(prepare_long_statements):
            yield
    finally:
        with django_db_blocker.unblock():
            connection.close()
            connection.close_pool()
        del parameters["options"]


@contextmanager
def _flushing_as_owner() -> Iterator[None]:
    """Flush as a replica would, without triggers: our append-only tables refuse the flush after transactional tests.

    Only tables with rows are emptied, by DELETE: a TRUNCATE of a hundred tables creates new files for each table and
    index. What Django creates for every model after a flush is kept instead.
    """
    flush, run, after = (
        DatabaseOperations.sql_flush,
        DatabaseOperations.execute_sql_flush,
        commands.emit_post_migrate_signal,
    )

    def sql_flush(self: Any, style: Any, tables: Any, **options: Any) -> list[str]:
        return [table for table in tables if table not in SCHEMA_ROWS]

    def execute_sql_flush(self: Any, sql_list: Any) -> None:
        with transaction.atomic(), unguarded():
            # A failed test may have left a transaction open in a thread. An error names the locked table; an endless
            # wait would not.
            execute(f"SET LOCAL lock_timeout = '{FLUSH_LOCK_WAIT}'")
            any_rows = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in sql_list)
            for (table,) in execute(any_rows):
                execute(f"DELETE FROM {table}")

    DatabaseOperations.sql_flush, DatabaseOperations.execute_sql_flush = sql_flush, execute_sql_flush
    commands.emit_post_migrate_signal = lambda *_, **__: None
    try:
        yield
    finally:
        DatabaseOperations.sql_flush, DatabaseOperations.execute_sql_flush = flush, run
        commands.emit_post_migrate_signal = after


@pytest.fixture(autouse=True)
def _own_blobs_and_cache(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test its own blobs and its own part of Redis, whose content outlives a run."""
    own = str(uuid4())
    settings.BLOB_ROOT = tmp_path_factory.getbasetemp() / "blobs" / own  # made by the first blob
    settings.METER_CLOCK_SLACK_MS = 10**12  # tests report work of minutes at once
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; the real ones are slow
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_PREFIX": own}}


@pytest.fixture(autouse=True)
def sent_tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the tasks that wake-ups would have sent."""
    sent: list[str] = []
    monkeypatch.setattr("core.workers._send", sent.append)
    return sent


@dataclass
class Cast:
    """The people and organizations of most tests."""

    alice: Owner = field(default_factory=lambda: factories.make_owner("alice@example.com"))
    bob: Owner = field(default_factory=lambda: factories.make_owner("bob@example.com"))
    acme: Organization = field(default_factory=lambda: factories.make_organization("acme@example.com"))
    globex: Organization = field(default_factory=lambda: factories.make_organization("globex@example.com"))
    opal: User = field(default_factory=lambda: factories.make_user("opal@example.com"))


@pytest.fixture
def cast(db: None) -> Cast:
    people = Cast()
    registration.register_operator(user=people.opal)
    return people


@pytest.fixture
def client_of() -> Any:
    """Return a function that gives a signed-in test client for a user."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture(scope="session", autouse=True)
def _cheap_clients() -> Iterator[None]:
    """Use a fast password hash, and switch off WhiteNoise's search.

    A real hash takes half a second, and the cast is five people. WhiteNoise would search every static file again for
    each test client.
    """
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=hashers, WHITENOISE_USE_FINDERS=False):
        yield


@pytest.fixture
def api() -> Any:
    """Return a function that gives a test client which sends an API key."""

    def client_with_key(text: str) -> Client:
        return Client(headers={"Authorization": f"Bearer {text}"})

    return client_with_key


@pytest.fixture(autouse=True)
def _no_stripe_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a test talks to Stripe without the fixture `stripe`, the fake behind the guards of tests/conformance."""

    def refuse() -> Any:
        raise AssertionError("this test did not ask for Stripe: use the fixture `stripe`")

    monkeypatch.setattr("billing.stripe.gateway.client.http_client", refuse)


@pytest.fixture
def stopped_clock(db: None, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Stop Python's clock at the database's `now()` in a test's transaction, and return that time.

    For tests of days and months: no midnight can fall between what they do and what they expect.
    """
    moment: datetime = execute("SELECT now()")[0][0]
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    return moment


@pytest.fixture
def unreplicated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never audit trusted nodes, so that their units have one copy. Untrusted nodes are still replicated."""
    from compute.dispatch import matching, trust

    monkeypatch.setattr(
        matching, "replication_probability", lambda streak: 1.0 if streak < trust.TRUSTED_AFTER else 0.0
    )
