"""Record how long each test takes, and run the slowest third: `pytest --slowest-third`, for `make test-busy`.

The times of complete runs are kept in pytest's cache. Without any, all tests run.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from tests.long import IS_LONG

KEY = "driveway/durations"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --slowest-third."""
    parser.addoption("--slowest-third", action="store_true", help="run the third of the tests that took longest before")


def pytest_configure(config: pytest.Config) -> None:
    """Register Durations in the main process, to which the workers of xdist report."""
    if not hasattr(config, "workerinput"):  # only workers of xdist have this attribute
        config.pluginmanager.register(Durations(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the two thirds that took least. A test without a time is new and counts as slow."""
    cache = getattr(config, "cache", None)
    seconds = cache.get(KEY, {}) if config.getoption("slowest_third") and cache else {}
    if not seconds:
        return
    order = sorted(items, key=lambda item: (-seconds.get(item.nodeid, float("inf")), item.nodeid))
    slow = {item.nodeid for item in order[: len(items) // 3]}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in slow])
    items[:] = [item for item in items if item.nodeid in slow]


class Durations:
    """Adds up the phases of each test, and keeps the times if the run was complete."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.took: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[report.nodeid] += report.duration

    def pytest_sessionfinish(self, session: Any) -> None:
        option = self.config.option
        is_whole = not (
            IS_LONG
            or option.slowest_third
            or option.keyword
            or option.markexpr
            or self.config.args_source.name == "ARGS"
        )
        cache = getattr(self.config, "cache", None)  # pytest has none with `-p no:cacheprovider`
        if is_whole and self.took and cache:
            cache.set(KEY, {test: round(seconds, 3) for test, seconds in self.took.items()})
