"""Rules over time: schedules and ready-by compared with slow reference code, days of 23 and 25 hours, no flapping."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.agent.policy import READY, Usage, evaluate
from compute.agent.policy.rules import day_allowance_s, ready_due
from compute.agent.policy.verdict import RESUME_AFTER
from compute.agent.sensors import PARKED
from compute.protocol import Policy

POLICY = Policy(version=1)
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
WEEK = 7 * 1440


def change(**fields):
    return msgspec.structs.replace(POLICY, **fields)


NOTHING = Usage()


def verdict(now, *, policy, previous=READY, usage=NOTHING, **fields):
    return evaluate(policy, replace(PARKED, at=now, **fields), now, previous, usage)


def test_a_window_over_midnight():
    policy = change(windows=((6, 22 * 60, 6 * 60),))  # Sunday 22:00 to Monday 06:00
    for at, works in (("15T21:59", False), ("15T22:00", True), ("16T05:59", True), ("16T06:00", False)):
        assert verdict(datetime.fromisoformat(f"2026-11-{at}:00+00:00"), policy=policy).available is works


def test_a_schedule_follows_local_time_over_a_clock_change():
    policy = change(time_zone="Europe/Berlin", windows=((5, 1320, 360),))  # Saturday 22:00 to 06:00
    for hour, works in ((5, True), (6, False)):  # Sunday 25 October 2026: clocks are set back
        assert verdict(datetime(2026, 10, 25, hour, 0, tzinfo=BERLIN), policy=policy).available is works


MINUTES = st.integers(0, 1439)
WINDOWS = st.lists(st.tuples(st.integers(0, 6), MINUTES, st.integers(1, 1440)), min_size=1, max_size=4)
# Weeks around both clock changes of 2026 in Berlin, and one without a change.
WEEKS = st.sampled_from([MONDAY, datetime(2026, 3, 23, tzinfo=UTC), datetime(2026, 10, 19, tzinfo=UTC)])


@settings(deadline=None)
@given(WINDOWS, WEEKS, st.integers(0, 8 * 1440))
def test_a_schedule_is_the_union_of_its_windows_minute_by_minute(windows, start, minute):
    now = start + timedelta(minutes=minute)
    local = now.astimezone(BERLIN)
    allowed = set()
    for day, begin, end in windows:
        length = end - begin if end > begin else end - begin + 1440
        allowed |= {(day * 1440 + begin + step) % WEEK for step in range(length)}
    expected = local.weekday() * 1440 + local.hour * 60 + local.minute in allowed
    policy = change(windows=tuple(windows), time_zone="Europe/Berlin")
    assert verdict(now, policy=policy).available is expected


def slow_ready_due(points, now, lead):
    """Return the first minute of elapsed time at which the local clock shows one of the points for the first time."""
    seen = {now.astimezone(BERLIN).replace(tzinfo=None)}
    for step in range(1, lead + 1):
        local = (now + timedelta(minutes=step)).astimezone(BERLIN)
        wall = local.replace(tzinfo=None)
        if (local.weekday(), local.hour * 60 + local.minute) in points and wall not in seen and not local.fold:
            return local
        seen.add(wall)
    return None


# Without the hour that a clock change skips, because no clock ever shows it.
POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1439).filter(lambda m: not 120 <= m < 180)), max_size=3)


@settings(max_examples=60, deadline=None)
@given(POINTS, WEEKS, st.integers(0, 8 * 1440), st.integers(0, 300))
def test_ready_by_counts_real_minutes_back_from_the_local_clock(points, start, minute, lead):
    now = start + timedelta(minutes=minute)
    policy = change(ready_by=tuple(points), ready_by_lead_minutes=lead, time_zone="Europe/Berlin")
    assert ready_due(policy, now) == slow_ready_due(points, now, lead)


def test_ready_by_over_midnight_and_the_end_of_the_week():
    policy = change(ready_by=((0, 60),), ready_by_lead_minutes=180)  # Monday 01:00: from Sunday 22:00
    for at, code in (("15T21:59", ""), ("15T22:00", "ready_by"), ("16T00:59", "ready_by"), ("16T01:00", "")):
        now = datetime.fromisoformat(f"2026-11-{at}:00+00:00")
        assert verdict(now, policy=policy, charge_percent=79).code == code


def test_ready_by_lets_work_go_on_once_the_charge_is_there_and_does_not_flap():
    policy, now = change(ready_by=((0, 360),), ready_by_lead_minutes=360), MONDAY + timedelta(hours=1)
    seen = verdict(now, policy=policy, charge_percent=79.9)
    for minutes, percent, code in ((1, 80, "ready_by"), (2, 79.9, "ready_by"), (3, 80, "ready_by"), (7, 80, "")):
        seen = verdict(now + timedelta(minutes=minutes), policy=policy, previous=seen, charge_percent=percent)
        assert seen.code == code
    assert verdict(MONDAY + timedelta(hours=6), policy=policy, previous=seen, charge_percent=60).code == ""


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 11, 18), 24)])
def test_a_share_of_a_day_follows_its_length(day, hours):
    policy, noon = change(day_share_percent=25, time_zone="Europe/Berlin"), datetime(*day, 12, tzinfo=BERLIN)
    assert day_allowance_s(policy, noon) == hours * 900
    assert verdict(noon, policy=policy, usage=Usage(work_s=hours * 900 - 1)).available
    assert verdict(noon, policy=policy, usage=Usage(work_s=hours * 900)).code == "day_share"


STEPS = st.lists(st.tuples(st.floats(0, 100), st.integers(61, 900)), min_size=1, max_size=30)


@settings(deadline=None)
@given(STEPS)
def test_charge_stops_below_one_mark_and_resumes_at_the_higher_after_a_wait(steps):
    """Compare with a reference that remembers only when the charge was last too low to resume."""
    now, seen, is_shut, low_at = MONDAY, READY, False, MONDAY
    for percent, seconds in steps:
        now += timedelta(seconds=seconds)
        seen = verdict(now, policy=POLICY, previous=seen, charge_percent=percent)
        if percent < (55 if is_shut else 50):
            is_shut, low_at = True, now
        elif is_shut and now >= low_at + RESUME_AFTER:
            is_shut = False
        assert (seen.code == "charge_low") is is_shut


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-20, 100), st.integers(61, 900)), min_size=1, max_size=30))
def test_heat_stops_above_one_mark_and_resumes_at_the_lower_after_a_wait(steps):
    now, seen, is_shut, hot_at = MONDAY, READY, False, MONDAY
    for heat, seconds in steps:
        now += timedelta(seconds=seconds)
        seen = verdict(now, policy=POLICY, previous=seen, temperature_c=heat)
        if heat > (40 if is_shut else 45):
            is_shut, hot_at = True, now
        elif is_shut and now >= hot_at + RESUME_AFTER:
            is_shut = False
        assert (seen.code == "too_hot") is is_shut


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(45, 60), st.floats(35, 50), st.booleans(), st.integers(1, 120)), max_size=60))
def test_it_never_flaps(steps):
    """Require at least five minutes from a stop to the next start, for any charge and heat, driven or not."""
    now, seen, stopped_at = MONDAY, READY, None
    for percent, heat, parked, seconds in steps:
        now += timedelta(seconds=seconds)
        was_available = seen.available
        seen = verdict(now, policy=POLICY, previous=seen, charge_percent=percent, temperature_c=heat, parked=parked)
        if was_available and seen.code in ("charge_low", "too_hot"):
            stopped_at = now
        elif seen.available and stopped_at is not None:
            assert now - stopped_at >= RESUME_AFTER
            stopped_at = None


def test_driving_past_a_low_charge_does_not_make_it_high_enough():
    low = verdict(MONDAY, policy=POLICY, charge_percent=49)
    driving = verdict(MONDAY + timedelta(minutes=10), policy=POLICY, previous=low, charge_percent=52, parked=False)
    parked = verdict(MONDAY + timedelta(minutes=20), policy=POLICY, previous=driving, charge_percent=52)
    assert (low.code, driving.code, parked.code) == ("charge_low", "driving", "charge_low")
    assert (parked.setting, "55 %" in parked.sentence) == ("charge_resume_percent", True)


def test_a_clock_that_is_set_back_does_not_prolong_the_wait():
    low = verdict(MONDAY + timedelta(days=300), policy=POLICY, charge_percent=49)
    soon = verdict(MONDAY, policy=POLICY, previous=low, charge_percent=60)
    assert soon.code == "charge_low"
    later = [
        verdict(MONDAY + timedelta(seconds=s), policy=POLICY, previous=soon, charge_percent=60) for s in (299, 300)
    ]
    assert [each.code for each in later] == ["charge_low", ""]
