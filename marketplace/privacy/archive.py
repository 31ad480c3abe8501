"""The archive of one owner's data, a ZIP file: every table as JSON and CSV, consent records and signed meter records.

The records can be verified without Driveway: `texts/verify.py.txt` is part of the archive.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import OperationalError, connection, transaction

from accounts.models import DataExport, Owner
from accounts.owners import exports
from marketplace.privacy import inventory, signed_files
from marketplace.privacy.table_files import write_table

logger = logging.getLogger(__name__)
CHUNK_BYTES = 1024 * 1024
TEXTS = Path(__file__).parent / "texts"


def build(*, export_id: int) -> bool:
    """Make the archive of one requested export. Return False if it is done, failed, or another worker is making it.

    All tables are read in one snapshot. The export's row stays locked meanwhile, so a task that runs twice builds once.
    The file gets its name only when it is complete. A failure sets the status `failed` with the code `export_failed`;
    the owner may ask again.
    """
    try:
        return _build(export_id)
    except OperationalError as error:
        # The connection was lost, or a concurrent transaction conflicted: the export stays requested.
        logger.warning("export %s will be retried by the next run: %s", export_id, error)
    except Exception:
        logger.exception("export %s failed", export_id)
        export = DataExport.objects.get(pk=export_id)
        exports.path_of(export).unlink(missing_ok=True)
        exports.mark_failed(export=export, code="export_failed")
    return False


def _build(export_id: int) -> bool:
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:  # one snapshot for all tables; the level cannot be set inside a running transaction
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        waiting = DataExport.objects.select_for_update(skip_locked=True, of=["self"]).select_related("owner__user")
        export = waiting.filter(pk=export_id, status=DataExport.Status.REQUESTED).first()
        if export is None:
            return False
        size, digest = write(export.owner, exports.path_of(export))
        exports.mark_ready(export=export, size_bytes=size, sha256=digest)
    return True


def write(owner: Owner, path: Path) -> tuple[int, str]:
    """Write the archive to `path` and return (size in bytes, SHA-256). The file appears only when it is complete."""
    root = private_folder()
    with tempfile.TemporaryDirectory(dir=root, prefix=_unfinished(owner)) as folder:
        unfinished = Path(folder) / "archive.zip"
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_RDWR, 0o600), "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                _fill(Archive(archive, Path(folder)), owner)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = unfinished.stat().st_size
        unfinished.replace(path)
    return size, digest


def remove_unfinished(owner: Owner) -> None:
    """Delete what killed workers left of this owner's archives.

    The caller makes sure that no archive is being written.
    """
    for folder in Path(settings.EXPORT_ROOT).glob(f"{_unfinished(owner)}*"):
        shutil.rmtree(folder)


def _unfinished(owner: Owner) -> str:
    return f"making-{owner.public_id}-"


def private_folder() -> Path:
    """Return the export folder, which only the site's own user can read. Create it if it is missing."""
    root = Path(settings.EXPORT_ROOT)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


class Archive:
    """A ZIP file that is filled file by file from disk, with a manifest of the SHA-256 and size of each."""

    def __init__(self, archive: zipfile.ZipFile, folder: Path) -> None:
        self.archive, self.folder = archive, folder
        self.manifest: dict[str, dict[str, object]] = {}

    def add(self, name: str, fill: Callable[[IO[str]], int]) -> None:
        """Add a file that `fill` writes as text. `fill` returns how many rows it wrote."""
        spool = self.folder / "spool"
        with spool.open("w", encoding="utf-8", newline="") as file:
            rows = fill(file)
        self.take(name, spool, rows)

    def take(self, name: str, path: Path, rows: int | None = None) -> None:
        """Add an existing file under `name`."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.manifest[name] = {"sha256": digest, "bytes": path.stat().st_size} | (
            {} if rows is None else {"rows": rows}
        )
        self.archive.write(path, name)


def _fill(archive: Archive, owner: Owner) -> None:
    for table in inventory.TABLES:
        name = inventory.file_name(table)
        as_json, as_csv = archive.folder / "table.json", archive.folder / "table.csv"
        rows = write_table(table, owner, as_json, as_csv)
        archive.take(f"tables/{name}.json", as_json, rows)
        archive.take(f"tables/{name}.csv", as_csv, rows)
    archive.add("consents/records.jsonl", lambda file: signed_files.write_consents(owner, file))
    archive.add("consents/notices.json", lambda file: signed_files.write_notices(owner, file))
    archive.add("meter-records/records.jsonl", lambda file: signed_files.write_meter_records(owner, file))
    archive.add("inventory.json", signed_files.write_inventory)
    archive.take("verify.py", TEXTS / "verify.py.txt")
    archive.take("README.txt", TEXTS / "README.txt")
    manifest = {"account": str(owner.public_id), "files": archive.manifest}
    archive.archive.writestr("manifest.json", json.dumps(manifest, indent=1))
