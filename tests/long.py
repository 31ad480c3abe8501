"""The long run of the tests, `make test-long`: faults, races, killed processes, more random examples, pages in both themes
and widths.

It runs the tests of modules that import from here, and no others. Tests marked `long` run only there, or when they are
named on the command line.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

IS_LONG = os.environ.get("DRIVEWAY_LONG") == "1"


def examples(count: int) -> int:
    """Return how many examples a costly property test draws: `count` in the long run, a fifth of it otherwise."""
    return count if IS_LONG else -(-count // 5)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", "long: runs only in `make test-long`, or when it is named")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that have no long form in the long run, and those that have no short one otherwise."""
    if IS_LONG:
        others = [item for item in items if not (item.get_closest_marker("long") or _has_long_form(item))]
    elif [Path(name).name for name in config.args] == config.getini("testpaths"):
        others = [item for item in items if item.get_closest_marker("long")]
    else:
        others = []
    left_out = set(others)
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in left_out]


def _has_long_form(item: pytest.Item) -> bool:
    module = item.getparent(pytest.Module)
    return module is not None and bool({"IS_LONG", "examples"} & set(vars(module.obj)))
