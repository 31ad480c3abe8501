"""A scratch database on a PostgreSQL of its own, in a folder that is deleted afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from marketplace.local import embedded

# Variables that point at other servers or folders. They are removed from the environment, so that only its own are
# used.
FROM_OUTSIDE = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "REDIS_URL",
    "NATS_URL",
    "NATS_PUBLIC_URLS",
    "NATS_TRUST_FILE",
    "STRIPE_SECRET_KEY",
    "STRIPE_API_BASE",
    "STRIPE_CHECKOUT_ORIGIN",
    "STRIPE_WEBHOOK_SECRETS",
    "BLOB_ROOT",
    "EXPORT_ROOT",
)


@contextmanager
def scratch_database(*, connections: int, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Set up Django on an empty, migrated database, with the cache on a Redis of its own. Raises EmbeddedError.

    PostgreSQL keeps the time of every commit, so that the order of commits can be queried afterwards.
    """
    home = Path(tempfile.mkdtemp(prefix="driveway-race-"))
    for name in FROM_OUTSIDE:
        os.environ.pop(name, None)
    os.environ |= {
        "DRIVEWAY_HOME": str(home),
        "DRIVEWAY_ENV": "development",
        "DRIVEWAY_NATS": "off",
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "ORT_DISABLE_TELEMETRY": "1",
        "BLOB_ROOT": str(home / "blobs"),
        "DATABASE_POOL_SIZE": str(connections),
        **(settings or {}),
    }
    embedded.provide_secrets(home)
    try:
        embedded.provide(*embedded.ALL)
        _keep_commit_times()
        import django
        from django.db import connection

        django.setup()
        # In a process of its own, as the owner of the tables: this process connects as the application's role.
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=embedded.REPOSITORY, check=True)
        try:
            yield
        finally:
            connection.close()
            connection.close_pool()
    finally:
        embedded.leave_servers()
        shutil.rmtree(home, ignore_errors=True)


def _keep_commit_times() -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    server = embedded.attached_servers()["postgres"]
    server.stop()
    server.start()
