"""The owner's rules: each one alone, unknown values, and properties that hold for every policy and reading."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import reasons
from compute.agent.policy import READY, Usage, evaluate
from compute.agent.sensors import PARKED, VehicleState
from compute.protocol import Policy

NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)  # a Wednesday
GOOD = replace(PARKED, at=NOW)
POLICY = Policy(version=1)
LATER = int((NOW + timedelta(minutes=5)).timestamp() * 1000)
UNKNOWN = VehicleState(at=NOW)
NOTHING = Usage()


def verdict(state=GOOD, *, policy=POLICY, now=NOW, previous=READY, usage=NOTHING):
    return evaluate(policy, state, now, previous, usage)


def change(**fields):
    return msgspec.structs.replace(POLICY, **fields)


def good(**fields):
    return replace(GOOD, **fields)


CAPPED = change(network="capped", data_cap_mb_per_month=10)
SHARED = change(day_share_percent=50)
CHEAP = change(power_rule="below_price")
SOLAR = change(power_rule="solar")
EITHER = change(power_rule="solar_or_below_price")
READY_BY = change(ready_by=((2, 13 * 60),), ready_by_lead_minutes=90, ready_by_percent=85)
FINISH = change(pause="finish", paused_until_unix_ms=LATER)


@pytest.mark.parametrize(
    ("state", "policy", "usage", "code", "words"),
    [
        (good(parked=False), POLICY, Usage(), "driving", "parked"),
        (good(busy="a software update"), POLICY, Usage(), "car_busy", "a software update"),
        (good(plugged_in=False), POLICY, Usage(), "not_plugged_in", "plugged in"),
        (good(charge_percent=49), POLICY, Usage(), "charge_low", "49 %.* 50 %"),
        (good(network="cellular"), POLICY, Usage(), "not_on_wifi", "Wi-Fi"),
        (good(network="none"), change(network="any"), Usage(), "no_network", "no network"),
        (good(network="cellular"), CAPPED, Usage(mobile_bytes=10_000_000), "data_cap", "10.0 MB.*10 MB"),
        (good(temperature_c=46), POLICY, Usage(), "too_hot", "46 °C.* 45 °C"),
        (GOOD, SHARED, Usage(work_s=12 * 3600), "day_share", "12.00 h.*50 %"),
        (GOOD, READY_BY, Usage(), "ready_by", "80 %.*85 % by Wednesday 13:00"),
        (GOOD, CHEAP, Usage(), "price_high", "0.1802.*your tariff.*0.1500"),
        (good(price_micro_per_kwh=200_000), CHEAP, Usage(), "price_high", "0.2000.*the charger"),
        (good(charging=True, solar=False), SOLAR, Usage(), "not_solar", "solar"),
        (good(solar=True), SOLAR, Usage(), "not_solar", "solar"),  # PARKED is not charging
        (good(solar=True), EITHER, Usage(), "price_high", "0.1802"),
        (GOOD, change(pause="stop"), Usage(), "paused", "further notice"),
        (GOOD, change(pause="stop", paused_until_unix_ms=LATER), Usage(), "paused", "2026-11-18 12:05"),
        (GOOD, FINISH, Usage(is_working=True), "finishing", "2026-11-18 12:05"),
        (GOOD, FINISH, Usage(), "paused", "finished"),
        (GOOD, change(windows=((1, 0, 1440),)), Usage(), "outside_schedule", "Wednesday 12:00"),
        (GOOD, change(time_zone="Mars/Olympus", windows=((2, 0, 1440),)), Usage(), "outside_schedule", "Mars/Olympus"),
        (good(at=NOW - timedelta(seconds=121)), POLICY, Usage(), "sensor_stale", "121 seconds ago.*120 seconds"),
        (good(at=NOW + timedelta(seconds=121)), POLICY, Usage(), "sensor_stale", "in the future"),
        (good(charge_percent=101), POLICY, Usage(), "sensor_absurd", "101 %"),
        (good(charge_percent=-1), POLICY, Usage(), "sensor_absurd", "-1 %"),
        (good(charge_percent=float("nan")), POLICY, Usage(), "sensor_absurd", "nan %"),
        (good(temperature_c=-41), POLICY, Usage(), "sensor_absurd", "-41 °C"),
        (good(temperature_c=float("inf")), POLICY, Usage(), "sensor_absurd", "inf °C"),
        (good(price_micro_per_kwh=float("nan")), POLICY, Usage(), "sensor_absurd", "price"),
        (good(network="carrier pigeon"), POLICY, Usage(), "sensor_absurd", "pigeon"),
        (good(charging=True, plugged_in=False), POLICY, Usage(), "sensor_absurd", "without being plugged in"),
        (good(fault="The car reports state as x"), POLICY, Usage(), "sensor_absurd", "impossible"),
    ],
)
def test_each_rule_says_no_with_its_code_its_values_and_its_setting(state, policy, usage, code, words):
    found = verdict(state, policy=policy, usage=usage)
    assert (found.available, found.code, found.setting) == (False, code, reasons.setting(code))
    assert re.search(words, found.sentence)
    assert found.sentence.endswith(".")
    assert code in reasons.REASONS


@pytest.mark.parametrize(
    ("policy", "state"),
    [
        (POLICY, GOOD),
        (POLICY, good(network="ethernet")),
        (change(plugged_in_only=False), good(plugged_in=False)),
        (change(plugged_in_only=False), good(plugged_in=None)),
        (change(network="any"), good(network="cellular")),
        (change(network="any"), good(network=None)),
        (change(network="capped"), good(network="cellular")),
        (change(charge_stop_percent=0), good(charge_percent=0)),
        (change(charge_stop_percent=0), good(charge_percent=None)),
        (change(pause="stop", paused_until_unix_ms=int(NOW.timestamp() * 1000)), GOOD),
        (change(pause="finish", paused_until_unix_ms=1), GOOD),
        (SOLAR, good(solar=True, charging=True)),
        (EITHER, good(solar=True, charging=True)),
        (EITHER, good(price_micro_per_kwh=150_000)),
        (CHEAP, good(price_micro_per_kwh=-20_000)),
        (change(power_rule="below_price", tariff_windows=((2, 11 * 60, 13 * 60, 90_000),)), GOOD),
        (READY_BY, good(charge_percent=85)),
        (change(ready_by=((2, 14 * 60),), ready_by_lead_minutes=60, ready_by_percent=100), GOOD),
    ],
)
def test_what_every_rule_allows_works(policy, state):
    assert verdict(state, policy=policy) == READY


@pytest.mark.parametrize(
    ("field", "policy", "setting"),
    [
        ("parked", change(plugged_in_only=False, charge_stop_percent=0, network="any"), ""),
        ("plugged_in", POLICY, "plugged_in_only"),
        ("charge_percent", POLICY, "charge_stop_percent"),
        ("charge_percent", change(ready_by=((2, 13 * 60),), charge_stop_percent=0), "ready_by"),
        ("network", POLICY, "network"),
        ("network", CAPPED, "network"),
        ("temperature_c", POLICY, "heat_stop_c"),
        ("solar", SOLAR, "power_rule"),
        ("charging", SOLAR, "power_rule"),
    ],
)
def test_what_the_car_does_not_say_and_a_rule_needs_is_no(field, policy, setting):
    state = replace(good(charging=True, solar=True), **{field: None})
    found = verdict(state, policy=policy)
    assert (found.available, found.code, found.setting) == (False, "sensor_missing", setting)


def test_an_unknown_reading_is_never_yes_whatever_the_policy():
    lax = change(plugged_in_only=False, charge_stop_percent=0, network="any", power_rule="any")
    assert verdict(UNKNOWN, policy=lax).code == "sensor_missing"


FIELDS = ("parked", "plugged_in", "charge_percent", "network", "temperature_c", "solar", "charging")


@settings(deadline=None)
@given(
    st.sets(st.sampled_from(FIELDS)),
    st.builds(
        Policy,
        version=st.just(1),
        plugged_in_only=st.booleans(),
        charge_stop_percent=st.sampled_from([0, 50]),
        network=st.sampled_from(["wifi", "capped", "any"]),
        power_rule=st.sampled_from(["any", "solar", "below_price", "solar_or_below_price"]),
        ready_by=st.sampled_from([(), ((2, 13 * 60),)]),
    ),
)
def test_less_knowledge_never_turns_a_no_into_a_yes(hidden, policy):
    """If work is allowed with an unknown value, it must be allowed for every possible value."""
    state = replace(replace(GOOD, charging=True, solar=True), **dict.fromkeys(hidden))
    if not verdict(state, policy=policy).available:
        return
    worst = {
        "parked": False,
        "plugged_in": False,
        "charge_percent": 0.0,
        "network": "cellular",
        "temperature_c": 119.0,
        "solar": False,
        "charging": False,
    }
    for name in hidden - ({"plugged_in"} if state.charging else set()):  # charging without a plug is impossible
        assert verdict(replace(state, **{name: worst[name]}), policy=policy).available, name


def test_stop_rules_come_before_finishing():
    for state in (good(parked=False), good(plugged_in=False), good(temperature_c=60)):
        found = verdict(state, policy=change(pause="finish"), usage=Usage(is_working=True))
        assert found.code != "finishing"
        assert not found.may_finish
    assert verdict(policy=change(pause="finish"), usage=Usage(is_working=True)).may_finish


def test_the_dearest_of_overlapping_tariffs_counts_and_an_unknown_zone_takes_all():
    windows = ((2, 0, 1440, 100_000), (2, 600, 800, 160_000), (3, 0, 1440, 900_000))
    assert "0.1600" in verdict(policy=change(power_rule="below_price", tariff_windows=windows)).sentence
    nowhere = change(power_rule="below_price", tariff_windows=windows, time_zone="Nowhere")
    assert "0.9000" in verdict(policy=nowhere).sentence


def test_a_jump_that_cannot_be_is_absurd_until_it_has_lasted_a_minute():
    before = verdict()
    for second, code in ((1, "sensor_absurd"), (60, "sensor_absurd"), (61, "")):
        now = NOW + timedelta(seconds=second)
        assert verdict(good(at=now, charge_percent=100.1 - 0.1), now=now, previous=before).code == ("")
        assert verdict(good(at=now, charge_percent=59), now=now, previous=before).code == code
    assert "80 to 59 %" in verdict(good(charge_percent=59), previous=before).sentence
    hot = verdict(good(temperature_c=66), previous=before)
    assert (hot.code, verdict(good(temperature_c=65), previous=before).code) == ("sensor_absurd", "too_hot")


def test_a_glitch_is_measured_from_the_last_reading_that_made_sense():
    seen = verdict()
    for second, percent, code in ((1, 10, "sensor_absurd"), (2, 80, ""), (3, 10, "sensor_absurd"), (4, 79.9, "")):
        now = NOW + timedelta(seconds=second)
        seen = verdict(good(at=now, charge_percent=percent), now=now, previous=seen)
        assert seen.code == code


@settings(deadline=None)
@given(
    st.builds(
        Policy,
        version=st.just(1),
        time_zone=st.text(max_size=20),
        windows=st.lists(st.tuples(*[st.integers(-(2**40), 2**40)] * 3), max_size=3).map(tuple),
        ready_by=st.lists(st.tuples(*[st.integers(-(2**40), 2**40)] * 2), max_size=3).map(tuple),
        ready_by_lead_minutes=st.integers(-(2**40), 2**40),
        tariff_windows=st.lists(st.tuples(*[st.integers(-(2**40), 2**40)] * 4), max_size=3).map(tuple),
        power_rule=st.sampled_from(["any", "below_price"]),
        day_share_percent=st.integers(-(2**40), 2**40),
        charge_stop_percent=st.integers(-(2**40), 2**40),
        heat_resume_c=st.integers(-(2**40), 2**40),
        pause=st.sampled_from(["", "stop", "finish"]),
        paused_until_unix_ms=st.integers(-(2**62), 2**62),
    ),
    st.floats(),
)
def test_no_policy_from_outside_can_crash_it(policy, reading):
    verdict(good(charge_percent=reading, temperature_c=reading, price_micro_per_kwh=reading), policy=policy)
