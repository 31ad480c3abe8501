"""The long run of the tests, `make test-long`: more random examples, longer sequences, every page in both themes.

It runs the tests of modules that import from here, and no others.
"""

from __future__ import annotations

import os

import pytest

IS_LONG = os.environ.get("DRIVEWAY_LONG") == "1"


def examples(count: int) -> int:
    """Return how many examples a costly property test draws: `count` in the long run, a third of it otherwise."""
    return count if IS_LONG else -(-count // 3)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that have no long form, in the long run."""
    if IS_LONG:
        others = [item for item in items if not {"IS_LONG", "examples"} & set(vars(item.getparent(pytest.Module).obj))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
