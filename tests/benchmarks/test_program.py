"""Options that all benchmarks share."""

import sys

import pytest

from benchmarks import program


def parse(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    parser = program.parser("x", quick="less", out="docs/x.md")
    parser.add_argument("--rounds", type=int, default=5)
    return program.parse(parser, rounds=1)


def test_quick_makes_less_of_what_was_not_asked_for(monkeypatch):
    assert parse(monkeypatch).rounds == 5
    assert parse(monkeypatch, "--quick").rounds == 1
    assert parse(monkeypatch, "--quick", "--rounds", "2").rounds == 2


def test_a_quick_run_writes_no_page(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse(monkeypatch, "--quick", "--out", str(tmp_path / "page.md"))
    program.publish("# Report", parse(monkeypatch, "--quick"))
    assert program.SMOKE in capsys.readouterr().out


def test_a_full_run_writes_its_page(monkeypatch, tmp_path, capsys):
    page = tmp_path / "docs" / "page.md"
    program.publish("# Report\n", parse(monkeypatch, "--out", str(page)))
    assert page.read_text() == "# Report\n"
    assert program.SMOKE not in capsys.readouterr().out
