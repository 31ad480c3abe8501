"""Which changes make the tests migrate again (tests/template.py)."""

from pathlib import Path

import pytest

from accounts import migrations as ours
from tests import template


def test_any_change_of_what_the_schema_comes_from_makes_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    migration = tmp_path / "0001_initial.py"
    monkeypatch.setattr(template, "_sources", lambda: iter([migration]))
    migration.write_text("a")
    first = template.fingerprint("180001", "postgres")
    assert template.fingerprint("180001", "postgres") == first
    assert template.fingerprint("180002", "postgres") != first
    assert template.fingerprint("180001", "somebody") != first
    migration.write_text("b")
    assert template.fingerprint("180001", "postgres") != first


def test_migrations_and_models_of_every_app_count():
    sources = set(template._sources())
    assert set(Path(ours.__file__).parent.glob("*.py")) <= sources
    named = {(path.parts[-3], path.parts[-2], path.name) for path in sources}
    assert {
        ("billing", "models", "ledger.py"),
        ("auth", "migrations", "0001_initial.py"),
        ("contrib", "auth", "models.py"),
    } <= named
    assert ("account", "migrations", "0001_initial.py") in named
