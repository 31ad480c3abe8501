"""What the database itself refuses: SQL files in `<app>/rules/`, a file a noun, readable in one place.

Each file may be run any number of times (CREATE OR REPLACE). Who changes one adds a migration that runs it again with `run`.
"""

from pathlib import Path

from django.db import migrations

REPOSITORY = Path(__file__).resolve().parents[1]


def run(app: str, *nouns: str) -> list[migrations.RunSQL]:
    """Return operations that run the files `<app>/rules/<noun>.sql`, in this order. Nothing undoes them."""
    files = (REPOSITORY / app / "rules" / f"{noun}.sql" for noun in nouns)
    return [migrations.RunSQL(file.read_text(), migrations.RunSQL.noop) for file in files]
