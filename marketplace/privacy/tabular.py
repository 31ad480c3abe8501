"""Rows as JSON and CSV, read once by a server-side cursor: memory stays flat however long a history is."""

import base64
import csv
import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from accounts.models import Owner
from core.privacy import Table
from marketplace.privacy import inventory

FETCH_ROWS = 2000
WITHHELD = "(held, not exported)"


def write_table(table: Table, owner: Owner, as_json: Path, as_csv: Path) -> int:
    """Write the owner's rows of a table to both files. Returns how many there were."""
    names = list(table.columns)
    count = 0
    with as_json.open("w", encoding="utf-8") as json_file, as_csv.open("w", encoding="utf-8", newline="") as csv_file:
        writer = csv.writer(csv_file)
        writer.writerow(names)
        json_file.write("[")
        for values in read(table, owner):
            json_file.write(",\n" if count else "\n")
            json.dump(dict(zip(names, values, strict=True)), json_file, ensure_ascii=False)
            writer.writerow([json.dumps(v, ensure_ascii=False) if isinstance(v, (list, dict)) else v for v in values])
            count += 1
        json_file.write("\n]\n")
    return count


def read(table: Table, owner: Owner) -> Iterator[list[Any]]:
    """The owner's rows, oldest first, each value as JSON can say it; secrets are named, not given."""
    secret = [column.secret for column in table.columns.values()]
    rows = inventory.rows(table, owner).order_by("pk").values_list(*table.columns)
    for row in rows.iterator(chunk_size=FETCH_ROWS):
        yield [WITHHELD if hidden and value else plain(value) for hidden, value in zip(secret, row, strict=True)]


def plain(value: Any) -> Any:
    """Times in ISO 8601 (UTC), bytes in base64, ids as text; what JSON knows as it is."""
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if value is None or isinstance(value, (bool, int, float, str, list, dict)):
        return value
    return str(value)
