"""The cast, and real servers: alice and bob own cars, acme and globex are customers, opal is staff, anonymous is anybody."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
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
from tests.database import execute, unguarded
from tests.leftovers import SCHEMA_ROWS

__all__ = ["hypothesis_profile"]  # for what importing it does
FLUSH_LOCK_WAIT = "60s"


def pytest_collection_finish() -> None:
    """What is loaded by now stays: each full collection would look through all of it again, a twelfth of the whole time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, django_db_blocker: Any) -> None:
    """Test databases are clones of one that is migrated already."""
    with django_db_blocker.unblock():
        connection.settings_dict["TEST"]["TEMPLATE"] = template.provide(connection)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The owner makes the database; then every connection takes the application's role, which proves that its grants suffice."""
    parameters = connection.settings_dict["OPTIONS"]
    with django_db_blocker.unblock():
        connection.close()
        connection.close_pool()
    # What a crash of the server would lose is not what tests are about: no commit waits for the disk.
    parameters["options"] = f"-c role={settings.DATABASE_APP_ROLE} -c synchronous_commit=off"
    try:
        with _flushing_as_owner():
            yield
    finally:
        with django_db_blocker.unblock():
            connection.close()
            connection.close_pool()
        del parameters["options"]


@contextmanager
def _flushing_as_owner() -> Iterator[None]:
    """Transactional tests end in a flush, which our append-only tables refuse: flush as a replica would, without triggers.

    Only what has rows, by DELETE: a TRUNCATE of a hundred tables makes new files for each and their indexes. What Django makes
    for every model after a flush is kept instead.
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
            # A test that failed may have left a transaction open in a thread: an error here names the table, a wait names nothing.
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
def _own_blobs_and_cache(settings: Any, tmp_path: Path, worker_id: str) -> None:
    """Each test has its own blobs and its own part of Redis, which outlives a run."""
    settings.BLOB_ROOT = tmp_path / "blobs"
    settings.METER_CLOCK_SLACK_MS = 10**12  # tests report work of minutes at once
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # slow ones are for people
    settings.CACHES = {
        "default": {**settings.CACHES["default"], "KEY_PREFIX": f"{worker_id}-{tmp_path.name}-{uuid4()}"}
    }


@pytest.fixture(autouse=True)
def sent_tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tasks that wake-ups would have sent."""
    sent: list[str] = []
    monkeypatch.setattr("core.workers._send", sent.append)
    return sent


@dataclass
class Cast:
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
    """A signed-in test client for a user."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture(scope="session", autouse=True)
def _cheap_clients() -> Iterator[None]:
    """A real password hash takes half a second, and the cast is five people; WhiteNoise would look for every static file
    again for each test client.
    """
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=hashers, WHITENOISE_USE_FINDERS=False):
        yield


@pytest.fixture
def api() -> Any:
    """A test client that sends an API key's text with everything."""

    def carry(text: str) -> Client:
        return Client(headers={"Authorization": f"Bearer {text}"})

    return carry


@pytest.fixture(autouse=True)
def _no_stripe_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that talks to Stripe asks for the fake, with the guards of tests/conformance between."""

    def refuse() -> Any:
        raise AssertionError("this test did not ask for Stripe: use the fixture `stripe`")

    monkeypatch.setattr("billing.stripe.gateway.client.http_client", refuse)


@pytest.fixture
def stopped_clock(db: None, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Stop Python's clock where the database's `now()` stands in a test's transaction; return that moment.

    For tests of days and months: no midnight comes between what they do and what they expect.
    """
    moment: datetime = execute("SELECT now()")[0][0]
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    return moment


@pytest.fixture
def unreplicated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusted nodes are never audited, so that one copy is one copy; untrusted ones are replicated as ever."""
    from compute.dispatch import matching, trust

    monkeypatch.setattr(
        matching, "replication_probability", lambda streak: 1.0 if streak < trust.TRUSTED_AFTER else 0.0
    )
