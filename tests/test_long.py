"""`make test` leaves out what is marked long, `make test-long` what has no long form; what is named always runs."""

from types import SimpleNamespace

import pytest

from tests import long


class Item:
    """A test of a module with these names."""

    def __init__(self, name: str, *, marked: bool = False, names: tuple[str, ...] = ()) -> None:
        self.name, self.marked = name, marked
        self.module = SimpleNamespace(obj=SimpleNamespace(**dict.fromkeys(names)))

    def get_closest_marker(self, name: str) -> bool:
        return self.marked

    def getparent(self, kind: type) -> SimpleNamespace:
        return self.module


@pytest.mark.parametrize(
    ("is_long", "named", "expected"),
    [(False, "tests", "ab"), (False, "tests/test_c.py", "abc"), (True, "tests", "bc")],
)
def test_what_runs(monkeypatch, is_long, named, expected):
    monkeypatch.setattr(long, "IS_LONG", is_long)
    items = [Item("a"), Item("b", names=("examples",)), Item("c", marked=True)]
    config = SimpleNamespace(
        args=[named],
        getini=lambda name: ["tests"],
        hook=SimpleNamespace(pytest_deselected=lambda items: None),
    )
    long.pytest_collection_modifyitems(config, items)
    assert "".join(item.name for item in items) == expected


def test_a_third_of_the_examples_at_least_one(monkeypatch):
    monkeypatch.setattr(long, "IS_LONG", False)
    assert [long.examples(count) for count in (1, 20, 25)] == [1, 4, 5]
    monkeypatch.setattr(long, "IS_LONG", True)
    assert long.examples(25) == 25
