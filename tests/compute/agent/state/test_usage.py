"""Usage counted for the owner's caps: it survives restarts, follows the local calendar and is deleted in time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from compute.agent.state.store import Store
from compute.agent.state.usage import Traffic, UsageBook

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock():
    """A monotonic clock that the test moves."""

    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


def test_counts_are_on_disk_within_ten_seconds_or_a_megabyte(tmp_path, clock):
    book = UsageBook(Store(tmp_path), clock=clock)
    book.count(NOW, UTC, sent=10, received=20, work_ms=1000)
    assert book.figures(NOW, UTC).work_ms == 1000
    assert UsageBook(Store(tmp_path)).figures(NOW, UTC).work_ms == 0
    clock.now = 10.0
    book.count(NOW, UTC, work_ms=1000)
    after_a_crash = UsageBook(Store(tmp_path)).figures(NOW, UTC)
    assert (after_a_crash.sent_bytes, after_a_crash.received_bytes, after_a_crash.work_ms) == (10, 20, 2000)
    book.count(NOW, UTC, received=1_000_000)
    assert UsageBook(Store(tmp_path)).figures(NOW, UTC).received_bytes == 1_000_020


def test_days_and_months_are_the_owners(tmp_path):
    book = UsageBook(Store(tmp_path))
    late = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)  # already December in Berlin
    book.count(late, BERLIN, received=5, work_ms=7)
    assert book.figures(late, BERLIN).month == "2026-12"
    assert book.figures(late, BERLIN).day == "2026-12-01"
    assert book.figures(late, BERLIN).work_ms == 7
    assert book.figures(late - timedelta(hours=1), BERLIN).work_ms == 0
    assert book.figures(late - timedelta(hours=1), BERLIN).received_bytes == 0


def test_old_counts_are_removed(tmp_path, clock):
    store = Store(tmp_path)
    book = UsageBook(store, clock=clock)
    for days in range(0, 200, 5):
        clock.now += 60
        book.count(NOW + timedelta(days=days), UTC, sent=1, work_ms=1)
    rows = store._db.execute("SELECT kind, min(period), count(*) FROM usage GROUP BY kind ORDER BY kind").fetchall()
    assert rows == [("sent", "2027-03", 4), ("work_ms", "2027-05-02", 7)]


def test_traffic_adds_what_the_layers_below_take():
    traffic = Traffic()
    traffic.add(sent=100)
    traffic.add(received=1000)
    assert traffic.take() == (105, 1050)
    assert traffic.take() == (0, 0)
