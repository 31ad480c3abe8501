import pytest


@pytest.fixture
def unreplicated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusted nodes are never audited, so that one copy is one copy; untrusted ones are replicated as ever."""
    from compute.scheduling import matching, trust

    monkeypatch.setattr(
        matching, "replication_probability", lambda streak: 1.0 if streak < trust.TRUSTED_AFTER else 0.0
    )
