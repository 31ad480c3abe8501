"""The owner's rules: each one alone, schedules against a slow model, and no flicker at a threshold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.agent.policy import READY, evaluate
from compute.agent.sensors import VehicleState, open_sensors
from compute.protocol import Policy

NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)  # a Wednesday
GOOD = VehicleState(at=NOW)
POLICY = Policy(version=1)


def verdict(state=GOOD, *, policy=POLICY, now=NOW, previous=READY):
    return evaluate(policy, state, now, previous)


def change(**fields):
    return msgspec.structs.replace(POLICY, **fields)


@pytest.mark.parametrize(
    ("state", "code", "word"),
    [
        (replace(GOOD, parked=False), "driving", "parked"),
        (replace(GOOD, plugged_in=False), "not_plugged_in", "plugged in"),
        (replace(GOOD, charge_percent=49), "charge_low", "50 %"),
        (replace(GOOD, network="cellular"), "not_on_wifi", "Wi-Fi"),
        (replace(GOOD, temperature_c=46), "too_hot", "45 °C"),
        (replace(GOOD, at=NOW - timedelta(seconds=121)), "sensor_stale", "120 seconds"),
        (replace(GOOD, at=NOW + timedelta(seconds=121)), "sensor_stale", "120 seconds"),
        (replace(GOOD, charge_percent=101), "sensor_absurd", "101 %"),
        (replace(GOOD, charge_percent=-1), "sensor_absurd", "-1 %"),
        (replace(GOOD, charge_percent=float("nan")), "sensor_absurd", "nan %"),
        (replace(GOOD, temperature_c=-41), "sensor_absurd", "-41 °C"),
        (replace(GOOD, temperature_c=float("inf")), "sensor_absurd", "inf °C"),
    ],
)
def test_each_rule_says_no_by_its_name(state, code, word):
    found = verdict(state)
    assert (found.available, found.code) == (False, code)
    assert word in found.sentence
    assert found.sentence.endswith(".")


def test_a_good_car_works():
    assert verdict() == READY
    assert verdict(replace(GOOD, network="ethernet")) == READY


@pytest.mark.parametrize(
    ("policy", "state"),
    [
        (change(plugged_in_only=False), replace(GOOD, plugged_in=False)),
        (change(network="any"), replace(GOOD, network="cellular")),
        (change(charge_stop_percent=0), replace(GOOD, charge_percent=0)),
        (change(paused_until_unix_ms=int(NOW.timestamp() * 1000)), GOOD),
    ],
)
def test_a_rule_that_is_off_forbids_nothing(policy, state):
    assert verdict(state, policy=policy) == READY


def test_paused_until_a_time_and_for_good():
    soon = int((NOW + timedelta(minutes=5)).timestamp() * 1000)
    assert "2026-11-18T12:05" in verdict(policy=change(pause="stop", paused_until_unix_ms=soon)).sentence
    assert "further notice" in verdict(policy=change(pause="stop", paused_until_unix_ms=2**62)).sentence


def test_an_unknown_time_zone_is_never_the_schedule():
    policy = change(time_zone="Mars/Olympus", windows=((2, 0, 1440),))
    assert verdict(policy=policy).code == "outside_schedule"


def test_a_window_over_midnight():
    policy = change(windows=((6, 22 * 60, 6 * 60),))  # Sunday 22:00 to Monday 06:00
    for at, works in (("15T21:59", False), ("15T22:00", True), ("16T05:59", True), ("16T06:00", False)):
        now = datetime.fromisoformat(f"2026-11-{at}:00+00:00")
        assert verdict(replace(GOOD, at=now), policy=policy, now=now).available is works


def test_a_schedule_follows_local_time_over_a_clock_change():
    policy = change(time_zone="Europe/Berlin", windows=((5, 1320, 360),))  # Saturday 22:00 to 06:00
    berlin = ZoneInfo("Europe/Berlin")
    for hour, works in ((5, True), (6, False)):  # Sunday 25 October 2026, when the clock goes back
        now = datetime(2026, 10, 25, hour, 0, tzinfo=berlin)
        assert verdict(replace(GOOD, at=now), policy=policy, now=now).available is works


MINUTES = st.integers(0, 1439)
WINDOWS = st.lists(st.tuples(st.integers(0, 6), MINUTES, st.integers(1, 1440)), min_size=1, max_size=4)


@given(WINDOWS, st.integers(0, 7 * 1440 - 1))
def test_a_schedule_is_the_union_of_its_windows_minute_by_minute(windows, minute):
    now = datetime(2026, 11, 16, tzinfo=UTC) + timedelta(minutes=minute)  # a Monday
    expected = set()
    for day, start, end in windows:
        length = end - start if end > start else end - start + 1440
        expected |= {(day * 1440 + start + step) % (7 * 1440) for step in range(length)}
    policy = change(windows=tuple(windows))
    assert verdict(replace(GOOD, at=now), policy=policy, now=now).available is (minute in expected)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_charge_stops_below_one_mark_and_resumes_at_the_higher(charges):
    previous, was_stopped = READY, False
    for charge in charges:
        previous = verdict(replace(GOOD, charge_percent=charge), previous=previous)
        was_stopped = charge < (55 if was_stopped else 50)
        assert previous.available is not was_stopped


@given(st.lists(st.floats(-40, 120), min_size=1, max_size=30))
def test_heat_stops_above_one_mark_and_resumes_at_the_lower(temperatures):
    previous, was_stopped = READY, False
    for temperature in temperatures:
        previous = verdict(replace(GOOD, temperature_c=temperature), previous=previous)
        was_stopped = temperature > (40 if was_stopped else 45)
        assert previous.available is not was_stopped


@given(
    st.builds(
        Policy,
        version=st.just(1),
        time_zone=st.text(max_size=20),
        windows=st.lists(st.tuples(*[st.integers(-(2**40), 2**40)] * 3), max_size=3).map(tuple),
        charge_stop_percent=st.integers(-(2**40), 2**40),
        heat_resume_c=st.integers(-(2**40), 2**40),
        paused_until_unix_ms=st.integers(-(2**62), 2**62),
    ),
    st.floats(),
)
def test_no_policy_from_outside_can_crash_it(policy, reading):
    verdict(replace(GOOD, charge_percent=reading, temperature_c=reading), policy=policy)


def test_simulated_sensors_and_their_overrides(tmp_path):
    read = open_sensors("simulated", tmp_path)
    assert (read().parked, read().charge_percent, read().network) == (True, 80.0, "wifi")
    (tmp_path / "sensors.json").write_text('{"parked": false, "charge_percent": 12}')
    assert (read().parked, read().charge_percent) == (False, 12.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"parked": "yes"}',
        '{"network": "lan"}',
        '{"charge_percent": true}',
        '{"at": "2026-11-18"}',
    ],
)
def test_a_wrong_sensor_file_reads_as_stale(tmp_path, text):
    (tmp_path / "sensors.json").write_text(text)
    assert verdict(open_sensors("simulated", tmp_path)()).code == "sensor_stale"
    assert verdict(open_sensors(f"file:{tmp_path / 'sensors.json'}", tmp_path)()).code == "sensor_stale"


def test_a_sensor_file_must_be_complete(tmp_path):
    path = tmp_path / "car.json"
    read = open_sensors(f"file:{path}", tmp_path)
    assert verdict(read()).code == "sensor_stale"
    path.write_text(
        '{"at": "2026-11-18T12:00:00+00:00", "parked": true, "plugged_in": true, "charge_percent": 70,'
        ' "network": "wifi", "temperature_c": 20}'
    )
    assert verdict(read()) == READY
