"""`python -m marketplace.local` fills a site with made-up people only on servers of its own."""

from contextlib import nullcontext

import pytest

from marketplace.local import __main__ as program
from marketplace.local.showcase import label


class Site:
    """A stack that stops as soon as it is kept up."""

    url = "http://127.0.0.1:1"

    def keep_up(self, each=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize(("name", "is_filled"), [("", True), ("DATABASE_URL", False), ("STRIPE_SECRET_KEY", False)])
def test_a_server_that_is_not_its_own_is_not_filled(monkeypatch, tmp_path, capsys, name, is_filled):
    filled = []
    monkeypatch.setenv("DRIVEWAY_HOME", str(tmp_path))
    monkeypatch.setattr(program, "read_dotenv", lambda: None)
    monkeypatch.setattr(program, "Stack", lambda: nullcontext(Site()))
    monkeypatch.setattr(label, "label_site", lambda home: None)
    for foreign in program.FOREIGN:
        monkeypatch.delenv(foreign, raising=False)
    if name:
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(program, "showcase", lambda stack: filled.append(stack) or (lambda: None))
    assert program.main() == 0
    assert bool(filled) is is_filled
    assert (name in capsys.readouterr().out) if name else not name
    assert (tmp_path / "run" / label.FILE).exists() is is_filled
