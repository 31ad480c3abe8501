"""`python -m tests.commands.site FOLDER`: fill a migrated database with paid work, and write files for commands.

The site's services create an owner whose car has worked, a statement with its package, consent receipts, and an
operator.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import django

OPERATOR = "opal@commands.example"
RECORDS, RECEIPTS = "records.zip", "receipts.jsonld"
NOTICE, NEWS, READING = "notice.txt", "news.txt", "car.json"
FRONT = "purpose: product_email\nversion: 2\neffective_at: 2099-01-01T00:00:00+00:00"


def main(folder: Path) -> None:
    """Fill the database and write RECORDS, RECEIPTS, NOTICE and NEWS into the folder."""
    (folder / NOTICE).write_text(f"---\n{FRONT}\n---\nNews\n\nIn short.\n\nAt length.\n")
    (folder / NEWS).write_text("News\n\nThere are some.\n")
    django.setup()
    from django.utils import timezone

    from accounts.models import User
    from accounts.owners import registration
    from accounts.receipts import service as receipts
    from benchmarks.erasure import owner as throwaway
    from billing.models import Statement
    from billing.records import package as statement_package
    from billing.statements import statements

    registration.register_operator(user=User.objects.create_user(OPERATOR, None, name="Opal"))
    owner = throwaway.make(tag="commands").owner
    statements.close_due(until=timezone.now())
    statement = Statement.objects.get(owner=owner)
    (folder / RECORDS).write_bytes(b"".join(statement_package.chunks(statement)))
    (folder / RECEIPTS).write_text(receipts.chain_text(owner))
    print(f"{statement} with its records, and the receipts of {owner}")


def write_reading(folder: Path) -> None:
    """Write READING as docs/vehicles.md shows it, with the present time: an old reading is not trusted."""
    reading = {"at": datetime.now(UTC).isoformat(), "parked": True, "plugged_in": True, "charge_percent": 71.5}
    (folder / READING).write_text(json.dumps({**reading, "network": "wifi", "temperature_c": 19}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
