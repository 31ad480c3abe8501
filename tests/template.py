"""A migrated database that is cloned for every worker of every run.

It is made again only when the schema's sources change. It stays in the server between runs as
`driveway_template_<fingerprint>`, closed to connections. Rights that belong to a database are not cloned (who may
connect, who may create temporary tables); `migrate`, which also runs on every clone, grants them.
"""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings

from accounts.management.commands import migrate
from core import db_role, rules

PREFIX = "driveway_template_"
LOCK = 7_106_255_021  # of the advisory lock: an arbitrary number that nothing else uses
KEPT_S = 24 * 3600


def provide(connection: Any) -> str:
    """Return the template's name.

    The first process creates it, under another name until it is complete; the others wait.
    """
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])  # held until this connection ends
        cursor.execute("SELECT current_setting('server_version_num'), current_user")
        name = PREFIX + fingerprint(*cursor.fetchone())
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        if not cursor.rowcount:
            _make(connection, cursor, name)
        _drop_old(cursor, name)
    return name


def fingerprint(*also: str) -> str:
    """Return a hash of all that determines the schema: migrations and models of every app, grants, the server."""
    digest = hashlib.sha256(repr((also, settings.INSTALLED_APPS, settings.DATABASE_APP_ROLE)).encode())
    for path in (*_sources(), Path(rules.__file__), Path(db_role.__file__), Path(migrate.__file__), Path(__file__)):
        content = path.read_bytes()
        digest.update(f"\n{path.parent.name}/{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:20]


def _sources() -> Iterator[Path]:
    """Yield the files of migrations and models. Content types and permissions are made from the models."""
    for app in apps.get_app_configs():
        folder = Path(app.path)
        yield from sorted(
            path
            for part in ("models.py", "models/**/*.py", "migrations/**/*", "rules/*", "notices/*")
            for path in folder.glob(part)
            if path.is_file() and path.suffix != ".pyc"
        )


def _make(connection: Any, cursor: Any, name: str) -> None:
    unfinished, own = f"{PREFIX}unfinished", connection.settings_dict
    cursor.execute(f"DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")
    earlier, own["TEST"] = (own["NAME"], own["TEST"]), {**own["TEST"], "NAME": unfinished, "TEMPLATE": None}
    try:
        connection.creation.create_test_db(verbosity=0, serialize=False)
    finally:
        connection.close()
        connection.close_pool()
        own["NAME"], own["TEST"] = earlier
        settings.DATABASES[connection.alias]["NAME"] = earlier[0]
    cursor.execute(f"ALTER DATABASE {unfinished} WITH ALLOW_CONNECTIONS false")
    cursor.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")


def _drop_old(cursor: Any, name: str) -> None:
    """Drop templates that no run has used for a day. Newer ones may belong to another branch or worktree."""
    now = int(time.time())
    cursor.execute(f"COMMENT ON DATABASE {name} IS '{now}'")
    cursor.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname <> %s AND datname <> %s"
        " AND COALESCE(shobj_description(oid, 'pg_database'), '0')::bigint < %s",
        [PREFIX, name, f"{PREFIX}unfinished", now - KEPT_S],
    )
    for (old,) in cursor.fetchall():
        cursor.execute(f"DROP DATABASE IF EXISTS {old}")
