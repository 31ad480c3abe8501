"""Migration operations for the database's own rules: triggers and functions in `<app>/rules/<noun>.sql`.

Each file may run any number of times (CREATE OR REPLACE). After changing one, add a migration that runs it again with
`run`.
"""

from pathlib import Path

from django.db import migrations

REPOSITORY = Path(__file__).resolve().parents[1]


def run(app: str, *nouns: str) -> list[migrations.RunSQL]:
    """Return operations that run `<app>/rules/<noun>.sql` for each noun, in this order. Reversing them does nothing."""
    files = (REPOSITORY / app / "rules" / f"{noun}.sql" for noun in nouns)
    return [migrations.RunSQL(file.read_text(), migrations.RunSQL.noop) for file in files]
