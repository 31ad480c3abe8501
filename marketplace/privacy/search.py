"""Search for a person in everything the site stores: all columns of text, JSON or bytes, sessions, files and the cache.

Files are those of the blob store (`compute.blobs.stored_files`) and of the export folder, which belongs to the site
alone. Not searched: the data files of PostgreSQL and Redis (their content is searched through SQL and Redis commands)
and of NATS (it stores nothing), logs, and files that other programs have put into the blob folder.
"""

import base64
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import QuerySet
from redis import Redis

from compute import blobs
from marketplace.privacy import code_values

SHORTEST = 3  # characters; a name of two letters would occur in every hash
CHUNK_BYTES = 4 * 1024 * 1024
CUSTOMERS_FILES = "customers' files"
FILE_BYTES_MAX = 16 * 1024**3  # beyond this only the names of files are searched; the proof says of how many

# The borders of an e-mail address, in a syntax that PostgreSQL and Python share: "ann@gmail.com" is not found in
# "joann@gmail.com" nor in "ann@gmail.com.au", but is found before the full stop of a sentence. The letters of an escape
# sequence (of JSON, Python or PostgreSQL) are no part of it: "\nann@gmail.com" in JSON begins a line with the address.
_ESCAPES = (r"\\[abfnrtv]", r"\\x[0-9a-f]{2}", r"\\u[0-9a-f]{4}", r"\\[0-7]{3}")
ADDRESS_BEGINS = rf"(?:(?<![\w.+-])|{'|'.join(f'(?<={escape})' for escape in _ESCAPES)})"
ADDRESS_ENDS = r"(?![\w+-]|\.\w)"


@dataclass(frozen=True)
class Needle:
    """One text to search for. `kind` is "email", "name" or "vin" (a VIN or its keyed hash)."""

    kind: str
    text: str

    @property
    def pattern(self) -> str:
        """Return a PostgreSQL regular expression: for a whole name ("Al" is not in "signal") or a whole address."""
        if self.kind == "email":
            return self.address_pattern(_regex)
        return rf"\m{_regex(self.text)}\M" if _as_word(self, self.text) else _regex(self.text)

    def address_pattern(self, escape: Callable[[str], str]) -> str:
        """Return a regular expression for every form of `written`, between the borders of an address."""
        return f"{ADDRESS_BEGINS}(?:{'|'.join(escape(form) for form in sorted(self.written()))}){ADDRESS_ENDS}"

    def written(self) -> set[str]:
        """Return the readable forms: the text itself, in JSON, and in PostgreSQL's and Python's notation for bytes."""
        forms: set[str] = set()
        for text in {self.text, self.text.lower(), self.text.upper()}:
            data = text.encode()
            forms |= {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], _escaped(data)}
            forms.add(repr(data)[2:-1])
        return forms

    def coded(self) -> set[str]:
        """Return the encoded forms, which have no word borders: hex, and base64 at each of its three alignments."""
        forms: set[str] = set()
        for text in {self.text, self.text.lower(), self.text.upper()}:
            forms |= {text.encode().hex(), *_base64_cores(text.encode())}
        if re.fullmatch(r"[0-9a-f]{64}", self.text):  # a hash may be stored as its bytes
            forms |= {_escaped(bytes.fromhex(self.text)), *_base64_cores(bytes.fromhex(self.text))}
        return forms

    def forms(self) -> set[str]:
        """Return all forms, readable and encoded."""
        return self.written() | self.coded()


def needles(*, emails: Iterable[str], names: Iterable[str], vins: Iterable[str]) -> list[Needle]:
    """Return the needles, without doubles and texts shorter than SHORTEST. `vins` are VINs or their keyed hashes."""
    by_kind = [("email", emails), ("name", names), ("vin", vins)]
    unique = {(kind, text.strip()) for kind, texts in by_kind for text in texts if len(text.strip()) >= SHORTEST}
    return [Needle(kind, text) for kind, text in sorted(unique)]


@dataclass
class SearchResult:
    """The result of a search: how much was searched, and how many rows or files of each place hold each kind."""

    tables: dict[str, int] = field(default_factory=dict)  # table -> rows searched
    columns: int = 0
    hits: dict[tuple[str, str], int] = field(default_factory=dict)  # (place, kind) -> rows
    sessions: int = 0
    files: int = 0
    files_unread: int = 0  # beyond FILE_BYTES_MAX: searched by name only
    file_bytes: int = 0
    cache_entries: int = 0

    def add(self, place: str, kind: str, rows: int = 1) -> None:
        """Count matches in a place."""
        if rows:
            self.hits[place, kind] = self.hits.get((place, kind), 0) + rows


# Partitions are tables of their own and are searched as such; a partitioned parent has no rows. The types are named as
# in information_schema.columns, which would give the same answer but takes thirty times as long.
COLUMNS = """
SELECT c.relname, a.attname,
       CASE WHEN t.typcategory = 'A' THEN 'ARRAY'
            WHEN t.typnamespace <> 'pg_catalog'::regnamespace THEN 'USER-DEFINED'
            ELSE format_type(t.oid, NULL) END
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
   AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY c.relname, a.attnum
"""
TEXTUAL = {"text", "character varying", "character", "json", "jsonb", "xml", "bytea", "ARRAY", "USER-DEFINED", "name"}


def text_columns() -> dict[str, list[tuple[str, str]]]:
    """Return every table with its columns that can hold text, as (column, type)."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS)
        rows = cursor.fetchall()
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, [])
        if kind in TEXTUAL:
            tables[table].append((column, kind))
    return tables


def search_everywhere(looked_for: list[Needle]) -> SearchResult:
    """Search the database, the sessions (compressed in the database), stored blobs, the export folder and Redis."""
    found = SearchResult()
    for table, columns in text_columns().items():
        _search_table(table, columns, looked_for, found)
    _search_sessions(looked_for, found)
    _search_files(blobs.stored_files(), CUSTOMERS_FILES, looked_for, found)
    _search_files(Path(settings.EXPORT_ROOT).rglob("*"), "exports", looked_for, found)
    _search_cache(looked_for, found)
    return found


def count_rows(table: str, rows: QuerySet[Any], looked_for: list[Needle]) -> int:
    """Return how many of these rows of one table hold any of the needles."""
    columns = text_columns()[table]
    if not columns or not looked_for:
        return 0
    subquery, parameters = rows.order_by().values("pk").query.sql_with_params()
    documents, condition, patterns = _documents(table, columns), *_condition(looked_for)
    key = rows.model._meta.pk.column
    # Names come from the catalogue and values are bound, so S608 (SQL injection) does not apply here and below.
    source = f"SELECT {documents} FROM {_quoted(table)} WHERE {_quoted(key)} IN ({subquery})"  # noqa: S608
    sql = f"SELECT count(*) FROM ({source}) d WHERE {condition}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, *patterns])
        return int(cursor.fetchone()[0])


def _search_table(table: str, columns: list[tuple[str, str]], looked_for: list[Needle], found: SearchResult) -> None:
    """Search one table for all kinds in a single scan."""
    kinds = sorted({needle.kind for needle in looked_for}) if columns else []
    counts, parameters = ["count(*)"], []
    for kind in kinds:
        condition, patterns = _condition([needle for needle in looked_for if needle.kind == kind])
        counts.append(f"count(*) FILTER (WHERE {condition})")
        parameters += patterns
    documents = _documents(table, columns) if columns else "1"
    sql = f"SELECT {', '.join(counts)} FROM (SELECT {documents} FROM {_quoted(table)}) d"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows, *hits = cursor.fetchone()
    found.tables[table] = rows
    found.columns += len(columns)
    for kind, count in zip(kinds, hits, strict=True):
        found.add(table, kind, count)


def _documents(table: str, columns: list[tuple[str, str]]) -> str:
    """Return SQL for two texts of a row: `doc`, all its columns, and `words`, only what people wrote.

    Names are searched in `words`, everything else in `doc`.
    """
    texts = {name: _text(name, kind) for name, kind in columns}
    written_by_code = code_values.COLUMNS.get(table, frozenset())
    words = {name: text for name, text in texts.items() if name not in written_by_code}
    for name in words.keys() & code_values.VALUES.get(table, {}).keys():
        value = code_values.VALUES[table][name]
        words[name] = f"regexp_replace({_quoted(name)}::text, '{value}', '')"
    return f"{_joined(texts)} AS doc, {_joined(words)} AS words"


def _joined(texts: dict[str, str]) -> str:
    return f"concat_ws(E'\\n', {', '.join(texts.values())})" if texts else "''"


def _text(name: str, kind: str) -> str:
    """Return SQL that turns a column into text.

    Bytes are turned into text twice: escaped, which keeps readable parts readable, and with a space for each unreadable
    byte, so that a name after such a byte begins a word.
    """
    if kind != "bytea":
        return f"{_quoted(name)}::text"
    text = f"encode({_quoted(name)}, 'escape')"
    return rf"{text}, regexp_replace({text}, '\\[0-7]{{3}}', ' ', 'g')"


def _condition(looked_for: list[Needle]) -> tuple[str, list[Any]]:
    """Return an SQL condition on `doc` and `words` that any needle fulfils, and its parameters.

    Addresses are tested with LIKE first, which is fast, and then with the slower regular expression for their borders.
    """
    names = [needle for needle in looked_for if needle.kind == "name"]
    emails = [needle for needle in looked_for if needle.kind == "email"]
    vins = [needle for needle in looked_for if needle.kind not in ("name", "email")]
    word_forms = [_like(form) for needle in names for form in needle.forms() if not _as_word(needle, form)]
    doc_forms = [form for needle in vins for form in needle.forms()]
    doc_forms += [form for needle in emails for form in needle.coded()]
    groups = [
        ("words ILIKE ANY(%s)", [word_forms]),
        ("words ~* ANY(%s)", [[needle.pattern for needle in names if _as_word(needle, needle.text)]]),
        ("doc ILIKE ANY(%s)", [[_like(form) for form in doc_forms]]),
        (
            "(doc ILIKE ANY(%s) AND doc ~* ANY(%s))",
            [
                [_like(form) for needle in emails for form in needle.written()],
                [needle.pattern for needle in emails],
            ],
        ),
    ]
    used = [(sql, values) for sql, values in groups if values[0]]
    return " OR ".join(sql for sql, _ in used), [value for _, values in used for value in values]


def _as_word(needle: Needle, form: str) -> bool:
    """Return whether the form must be found as a whole word: a name itself, with a letter or digit at both ends."""
    return (
        needle.kind == "name" and form.lower() == needle.text.lower() and bool(re.fullmatch(r"\w.*\w", form, re.DOTALL))
    )


def _search_sessions(looked_for: list[Needle], found: SearchResult) -> None:
    for session in Session.objects.iterator(chunk_size=500):
        found.sessions += 1
        _search_text("sessions", json.dumps(session.get_decoded(), ensure_ascii=False), looked_for, found)


def _search_files(paths: Iterable[Path], place: str, looked_for: list[Needle], found: SearchResult) -> None:
    """Search names and contents of files. Symbolic links are skipped: they lead out of the store."""
    contents = [_Content(kind, looked_for) for kind in sorted({needle.kind for needle in looked_for})]
    for path in (p for p in paths if p.is_file() and not p.is_symlink()):
        found.files += 1
        _search_text(place, path.name, looked_for, found)
        if found.file_bytes > FILE_BYTES_MAX:
            found.files_unread += 1
            continue
        kinds = set()
        for chunk in _chunks(path):
            found.file_bytes += len(chunk)
            lowered = chunk.lower()
            kinds |= {content.kind for content in contents if content.is_in(chunk, lowered)}
        for kind in kinds:
            found.add(place, kind)


class _Content:
    """Finds needles of one kind in bytes."""

    def __init__(self, kind: str, looked_for: list[Needle]) -> None:
        self.kind, self._pattern = kind, _bytes_pattern(looked_for, kind)
        of_kind = [needle for needle in looked_for if needle.kind == kind]
        self._forms = {form.encode().lower() for needle in of_kind for form in needle.forms()}

    def is_in(self, chunk: bytes, lowered: bytes) -> bool:
        """Return whether the pattern matches.

        The pattern is ten to forty times slower than a search for the plain forms (gigabytes a second). Each of its
        matches contains a form, so it runs only on chunks that contain one.
        """
        return any(form in lowered for form in self._forms) and bool(self._pattern.search(chunk))


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the file in pieces that overlap, so that no text is cut in two. A file deleted meanwhile yields nothing."""
    tail = b""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            yield tail + data
            tail = (tail + data)[-1024:]


def _search_cache(looked_for: list[Needle], found: SearchResult) -> None:
    """Search Redis: the cache, rate limits and the queue of tasks.

    All entries expire, but none may hold personal data at all.
    """
    client: Redis = Redis.from_url(settings.REDIS_URL)
    try:
        for key in client.scan_iter(count=1000):
            found.cache_entries += 1
            _search_text("cache", _readable(key) + _cached(client, key), looked_for, found)
    finally:
        client.close()


def _cached(client: Redis, key: bytes) -> str:
    readers = {
        b"string": lambda: client.get(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"hash": lambda: client.hgetall(key),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
    }
    kind: Any = client.type(key)
    return _readable(readers[kind]()) if kind in readers else ""  # type: ignore[no-untyped-call]


def _readable(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return _readable([*value.keys(), *value.values()])
    return "\n".join(map(_readable, value)) if isinstance(value, (list, set, tuple)) else str(value)


def _search_text(place: str, text: str, looked_for: list[Needle], found: SearchResult) -> None:
    for kind in {needle.kind for needle in looked_for if mentions(text, [needle])}:
        found.add(place, kind)


def mentions(text: str, looked_for: list[Needle]) -> bool:
    """Return whether a text holds any of the needles, by the same rules as the search of tables."""
    lowered = text.lower()
    for needle in looked_for:
        if needle.kind == "email" and re.search(needle.address_pattern(re.escape), text, re.IGNORECASE):
            return True
        for form in needle.coded() if needle.kind == "email" else needle.forms():
            if _as_word(needle, form):
                if re.search(rf"(?<!\w){re.escape(form)}(?!\w)", text, re.IGNORECASE):
                    return True
            elif form.lower() in lowered:
                return True
    return False


def _bytes_pattern(looked_for: list[Needle], kind: str) -> re.Pattern[bytes]:
    """Return a regular expression that matches any needle of one kind in bytes."""
    of_kind = [needle for needle in looked_for if needle.kind == kind]
    forms = {form for needle in of_kind for form in (needle.coded() if kind == "email" else needle.forms())}
    alternatives = "|".join(map(re.escape, sorted(forms)))
    if kind == "name":
        alternatives = rf"(?<!\w)(?:{alternatives})(?!\w)"
    if kind == "email":
        alternatives = "|".join([alternatives, *(needle.address_pattern(re.escape) for needle in of_kind)])
    return re.compile(alternatives.encode(), re.IGNORECASE)


def _base64_cores(data: bytes) -> list[str]:
    """Return the letters that the base64 of any text around `data` must contain, for each of its three alignments.

    Letters that also depend on neighbouring bytes are cut off; cores of fewer than eight letters are left out.
    """
    cores = []
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        first = (0, 2, 3)[before]
        whole = (before + len(data)) * 8 // 6
        cores.append(coded[first:whole])
    return [core for core in cores if len(core) >= 8] + [
        core.replace("+", "-").replace("/", "_") for core in cores if len(core) >= 8 and ("+" in core or "/" in core)
    ]


def _escaped(data: bytes) -> str:
    """Return bytes in the notation of PostgreSQL's encode(..., 'escape')."""
    return "".join("\\\\" if b == 92 else f"\\{b:03o}" if b == 0 or b > 127 else chr(b) for b in data)


def _like(text: str) -> str:
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _regex(text: str) -> str:
    return re.sub(r"([^\w\s])", r"\\\1", text)


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
