"""Which tests share a worker of pytest-xdist: those that share a fixture which is costly to make.

xdist's own groups (`--dist loadgroup`, `xdist_group`) write into an attribute that pytest 9 no longer reads.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

# The beginning of the tests' ids. The largest group begins first, so that no worker ends long after the others.
TOGETHER = ("tests/browser/", "tests/accounts/views/test_policy_browser.py")


class Scheduling(LoadScopeScheduling):
    """Give tests to workers one at a time, but each group of TOGETHER to one worker as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in TOGETHER if nodeid.startswith(group)), nodeid)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Scheduling | None:
    """Return our scheduler for `-n`, or None, which lets xdist choose, when --dist names another way."""
    return Scheduling(config, log) if config.getoption("dist") == "load" else None
