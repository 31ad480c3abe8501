"""Gives the tests real local servers: `pytest -p marketplace.local.embedded.pytest_plugin`.

pytest-django reads the settings in `pytest_load_initial_conftests`, as early as a plugin can; a wrapper runs
before every plain implementation of that hook, whatever the order of registration. Workers of pytest-xdist
inherit the variables from the controller and so start nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest

from marketplace.local.embedded import ALL, become_owner, provide_all

# Where Python is told to keep no compiled code, every worker of every run would rewrite the assertions of all tests again, and
# every agent and child that a test starts would compile what it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    """Provide PostgreSQL, Redis, NATS and development secrets before the settings are read.

    Test databases are made by the owner, whom the settings therefore name; the tests then run as the application's role
    (tests/conftest.py), and processes that they start log in as it.
    """
    provide_all(*ALL)
    site = os.environ.get("DATABASE_URL", "")
    become_owner()
    try:
        return (yield)
    finally:
        os.environ["DATABASE_URL"] = site
