"""Gives the tests real local servers: `pytest -p marketplace.embedded.pytest_plugin`.

pytest-django reads the settings in `pytest_load_initial_conftests`, as early as a plugin can; a wrapper runs
before every plain implementation of that hook, whatever the order of registration. Workers of pytest-xdist
inherit the variables from the controller and so start nothing.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from marketplace.embedded import ALL, provide_all


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    """Provide PostgreSQL, Redis, NATS and development secrets before the settings are read."""
    provide_all(*ALL)
    return (yield)
