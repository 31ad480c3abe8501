"""A migrated database that is made once and cloned for every worker of every run, until what the schema comes from changes.

It stays in the server between runs, as `driveway_template_<fingerprint>`, closed to connections. What belongs to a database and
is not cloned (who may connect, who may make temporary tables) is granted by `migrate`, which runs on every clone as well.
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
LOCK = 7_106_255_021  # any number of its own: advisory locks are asked for by number
KEPT_S = 24 * 3600


def provide(connection: Any) -> str:
    """Its name. Whoever comes first makes it, under another name until it is whole; the others wait."""
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])  # goes when this connection ends, however that is
        cursor.execute("SELECT current_setting('server_version_num'), current_user")
        name = PREFIX + fingerprint(*cursor.fetchone())
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        if not cursor.rowcount:
            _make(connection, cursor, name)
        _drop_old(cursor, name)
    return name


def fingerprint(*also: str) -> str:
    """Of all that migrations make the schema of: themselves and the models of every app, the grants, the server."""
    digest = hashlib.sha256(repr((also, settings.INSTALLED_APPS, settings.DATABASE_APP_ROLE)).encode())
    for path in (*_sources(), Path(rules.__file__), Path(db_role.__file__), Path(migrate.__file__), Path(__file__)):
        content = path.read_bytes()
        digest.update(f"\n{path.parent.name}/{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:20]


def _sources() -> Iterator[Path]:
    """Models too: content types and permissions are made of them."""
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
    was, own["TEST"] = (own["NAME"], own["TEST"]), {**own["TEST"], "NAME": unfinished, "TEMPLATE": None}
    try:
        connection.creation.create_test_db(verbosity=0, serialize=False)
    finally:
        connection.close()
        connection.close_pool()
        own["NAME"], own["TEST"] = was
        settings.DATABASES[connection.alias]["NAME"] = was[0]
    cursor.execute(f"ALTER DATABASE {unfinished} WITH ALLOW_CONNECTIONS false")
    cursor.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")


def _drop_old(cursor: Any, name: str) -> None:
    """Those that no run has asked for in a day: another branch, or another worktree of the same server, may be at work."""
    now = int(time.time())
    cursor.execute(f"COMMENT ON DATABASE {name} IS '{now}'")
    cursor.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname <> %s AND datname <> %s"
        " AND COALESCE(shobj_description(oid, 'pg_database'), '0')::bigint < %s",
        [PREFIX, name, f"{PREFIX}unfinished", now - KEPT_S],
    )
    for (old,) in cursor.fetchall():
        cursor.execute(f"DROP DATABASE IF EXISTS {old}")
