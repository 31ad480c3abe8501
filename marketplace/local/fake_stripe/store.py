"""Store objects and responses under idempotency keys in SQLite: in memory, or in a file that survives a restart."""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS object (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, type TEXT, created INTEGER, body TEXT);
CREATE INDEX IF NOT EXISTS object_by_type ON object (type, created, seq);
CREATE TABLE IF NOT EXISTS answer (key TEXT PRIMARY KEY, fingerprint TEXT, status INTEGER, body TEXT);
CREATE TABLE IF NOT EXISTS delivery
    (seq INTEGER PRIMARY KEY, event TEXT, due REAL, attempts INTEGER DEFAULT 0, done INTEGER DEFAULT 0);
"""


class Store:
    """The store of the fake's objects. It may be used by one thread at a time."""

    def __init__(self, path: str = ":memory:") -> None:
        self.sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.sql.executescript(SCHEMA)

    def new_id(self, prefix: str) -> str:
        """Return a new random id that begins with the prefix."""
        return f"{prefix}_fake{secrets.token_hex(10)}"

    def put(self, item: Object) -> Object:
        """Add an object, or replace the object with the same id. Return it."""
        self.sql.execute(
            "INSERT INTO object (id, type, created, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (item["id"], item["object"], item["created"], json.dumps(item)),
        )
        return item

    def get(self, object_id: str, kind: str = "") -> Object | None:
        """Return the object with this id (of this kind, if given), or None."""
        row = self.sql.execute("SELECT body FROM object WHERE id = ? AND type LIKE ?", (object_id, kind or "%"))
        body = row.fetchone()
        return json.loads(body[0]) if body else None

    def newest(self, kind: str) -> Iterator[Object]:
        """Yield all objects of a kind, newest first."""
        for (body,) in self.sql.execute(
            "SELECT body FROM object WHERE type = ? ORDER BY created DESC, seq DESC", (kind,)
        ):
            yield json.loads(body)

    def answer(self, key: str) -> tuple[str, int, str] | None:
        """Return what is stored under an idempotency key: (fingerprint of the request, status, body), or None."""
        row: tuple[str, int, str] | None = self.sql.execute(
            "SELECT fingerprint, status, body FROM answer WHERE key = ?", (key,)
        ).fetchone()
        return row

    def remember(self, key: str, fingerprint: str, status: int, body: str) -> None:
        """Store a response under an idempotency key."""
        self.sql.execute("INSERT INTO answer VALUES (?, ?, ?, ?)", (key, fingerprint, status, body))
