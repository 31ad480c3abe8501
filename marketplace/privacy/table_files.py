"""Write a table's rows as JSON and CSV.

A server-side cursor reads them once, so memory does not grow with the history.
"""

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
    """Write the owner's rows of a table to both files. Return how many there were."""
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
    """Yield the owner's rows, oldest first, with values that JSON can hold. Secrets are replaced by WITHHELD."""
    secret = [column.secret for column in table.columns.values()]
    rows = inventory.rows(table, owner).order_by("pk").values_list(*table.columns)
    for row in rows.iterator(chunk_size=FETCH_ROWS):
        yield [WITHHELD if hidden and value else json_value(value) for hidden, value in zip(secret, row, strict=True)]


def json_value(value: Any) -> Any:
    """Return a value that JSON can hold: times in ISO 8601 (UTC), bytes in base64, other types as text."""
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if value is None or isinstance(value, (bool, int, float, str, list, dict)):
        return value
    return str(value)
