"""Time limits for the tests of compute."""

from typing import Any

import pytest

from compute.dispatch import dispatch, leases
from tests.waiting import DAY_S


@pytest.fixture
def unhurried(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cars stay present and keep their leases for a day.

    For tests that commit transactions: there `now()` differs between statements, and on a slow machine presence and
    leases would expire during the test. In the other tests `now()` is constant.
    """
    settings.LEASE_S = DAY_S
    monkeypatch.setattr(dispatch, "PRESENCE_S", DAY_S)
    monkeypatch.setattr(leases, "REDELIVER_AFTER_S", DAY_S)
