"""The start times of the clocks in tests/clock.py."""

from datetime import UTC, datetime

import pytest

from tests import clock


@pytest.mark.parametrize(
    ("name", "now", "start"),
    [
        ("night", "2026-11-30T12:13", "2026-12-01T23:56"),
        ("night", "2026-12-31T23:59", "2027-01-01T23:56"),
        ("sunday", "2026-11-30T12:13", "2026-12-06T12:00"),
        ("sunday", "2026-12-05T23:59", "2026-12-06T12:00"),
        ("sunday", "2026-12-06T12:13", "2026-12-13T12:00"),
        ("leap", "2026-11-30T12:13", "2028-02-29T09:00"),
        ("leap", "2028-02-28T12:13", "2028-02-29T09:00"),
        ("leap", "2028-02-29T12:13", "2032-02-29T09:00"),
        ("leap", "2096-03-01T00:00", "2104-02-29T09:00"),
        ("year", "2026-11-30T12:13", "2027-12-31T23:56"),
        ("year", "2028-02-29T12:13", "2029-12-31T23:56"),
        ("2027-03-28T00:30", "2026-11-30T12:13", "2027-03-28T00:30"),
        ("2027-03-28T00:30+02:00", "2026-11-30T12:13", "2027-03-27T22:30"),
    ],
)
def test_the_start_of_each_clock(name, now, start):
    expected = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert clock.start_of(name, datetime.fromisoformat(now).replace(tzinfo=UTC)) == expected


@pytest.mark.parametrize("arguments", [["night"], ["moon", "--", "true"], ["2020-01-01", "--", "true"]])
def test_a_clock_that_is_none_or_is_over_runs_nothing(arguments, capsys, monkeypatch):
    monkeypatch.setattr(clock.shutil, "which", lambda name: name)
    assert clock.main(arguments) == 2
    assert "usage" in capsys.readouterr().err
