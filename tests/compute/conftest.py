"""Time for tests of compute."""

from typing import Any

import pytest

from compute.dispatch import dispatch, leases

DAY_S = 86_400


@pytest.fixture
def unhurried(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cars stay present, and hold what they were leased, for a day.

    For tests whose transactions are committed: in them every statement has a time of its own, and what is staged grows old
    while a slow machine works. Elsewhere `now()` stands still.
    """
    settings.LEASE_S = DAY_S
    monkeypatch.setattr(dispatch, "PRESENCE_S", DAY_S)
    monkeypatch.setattr(leases, "REDELIVER_AFTER_S", DAY_S)
