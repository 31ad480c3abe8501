"""The description of rules in plain words, and the windows of a week."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import OwnerPolicy
from accounts.policies import presets, rules, settings, summary, week, words
from compute.reasons import REASONS

WEEKDAYS = st.integers(0, 6)
MINUTES = st.integers(0, 1439)
WINDOWS = st.lists(st.tuples(WEEKDAYS, MINUTES, MINUTES), max_size=6)


def described(zone: str = "Europe/Berlin", locale: str = "de-DE", currency: str = "EUR", **changed: object) -> str:
    result = rules.canonical(presets.default_rules() | changed)
    assert rules.check(result) == []
    return " ".join(s.text for s in summary.summarise(result, zone=zone, locale=locale, currency=currency))


def minutes_of_week(windows: Iterable[tuple[int, int, int]]) -> set[int]:
    """Return the minutes of the week that the windows contain, counted one by one: slow, but obviously right."""
    open_at = set()
    for weekday, start, end in windows:
        minute = weekday * 1440 + start
        while True:
            open_at.add(minute % 10080)
            minute += 1
            if minute % 1440 == end % 1440:
                break
    return open_at


def test_the_careful_rules_in_words():
    assert described() == (
        "Works at any time, only while plugged in and on Wi-Fi or a cable. Stops below 50 % charge and resumes"
        " from 55 %. "
        "Stops above 45 °C and resumes at 40 °C. "
        "Takes only offers that cover electricity at 0,1802\N{NO-BREAK SPACE}€ per kWh, "
        "and battery wear at 0,05\N{NO-BREAK SPACE}€ per kWh."
    )


def test_nights_of_a_week_are_one_clause():
    windows = [*([day, 1320, 360] for day in range(5)), [5, 0, 0], [6, 0, 720], [6, 700, 800]]
    text = "on weekdays from 22:00 to 06:00, all day on Saturday and on Sunday from 00:00 to 13:20 (Europe/Berlin)"
    assert described(windows=windows).startswith("Works ")
    # Friday night, Saturday and Sunday morning join to a window longer than a day, which is cut at midnight.
    assert "all day on Saturday" in described(windows=windows)
    assert "on Sunday from 00:00 to 13:20" in described(windows=windows)
    apart = [*([day, 1320, 360] for day in range(4)), [5, 0, 0], [6, 0, 720], [6, 700, 800]]
    assert text.replace("weekdays", "Monday to Thursday") in described(windows=apart)


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (range(7), "every day"),
        ((0, 1, 2, 3, 4), "on weekdays"),
        ((6, 5), "at weekends"),
        ((1, 2, 3), "on Tuesday to Thursday"),
        ((0, 1), "on Monday and Tuesday"),
        ((0, 2, 6), "on Monday, Wednesday and Sunday"),
        ((3,), "on Thursday"),
    ],
)
def test_days_in_words(days, text):
    assert words.days(tuple(days)) == text


def test_an_american_reads_twelve_hours_and_dollars():
    text = described(locale="en-US", currency="USD", windows=[[0, 1320, 360]])
    assert "on Monday from 10:00\N{NARROW NO-BREAK SPACE}PM to 6:00\N{NARROW NO-BREAK SPACE}AM" in text
    assert "$0.1802 per kWh" in text


@pytest.mark.parametrize("locale", ["", "xx-YY", "english", "de", "zh-Hans-CN"])
def test_an_odd_locale_still_reads(locale):
    assert "Works at any time" in described(locale=locale)


def test_prices_by_the_hour():
    night = [[day, 1380, 300, 90_000] for day in range(7)]
    assert "electricity at $0.30 per kWh and $0.09 per kWh every day from 23:00 to 05:00 (Europe/London)" in described(
        zone="Europe/London", locale="en-GB", currency="USD", tariff_micro_per_kwh=300_000, tariff_windows=night
    ).replace("US$", "$")


RULES = st.fixed_dictionaries(
    {
        "windows": WINDOWS,
        "ready_by": st.lists(st.tuples(WEEKDAYS, MINUTES), max_size=3),
        "day_share_percent": st.integers(1, 100),
        "plugged_in_only": st.booleans(),
        "charge_stop_percent": st.integers(0, 50),
        "network": st.sampled_from(OwnerPolicy.Network.values),
        "power_rule": st.sampled_from(OwnerPolicy.PowerRule.values),
        "tariff_windows": st.sampled_from([[], [[0, 0, 60, 777_000]]]),
        "wear_micro_per_kwh": st.sampled_from([0, 66_000]),
    }
)


@given(RULES)
def test_every_rule_that_is_on_is_said_and_none_that_is_off(changed):
    text = described(**changed)
    for word, is_on in {
        "at any time": not changed["windows"],
        "(Europe/Berlin)": changed["windows"] or changed["ready_by"] or changed["tariff_windows"],
        "ready by": changed["ready_by"],
        "% of a day": changed["day_share_percent"] < 100,
        "plugged in": changed["plugged_in_only"],
        "Stops below": changed["charge_stop_percent"],
        "Wi-Fi": changed["network"] == "wifi",
        "mobile data": changed["network"] == "capped",
        "from solar": "solar" in changed["power_rule"],
        "costs at most": "below_price" in changed["power_rule"],
        "0,777": changed["tariff_windows"],
        "wear": changed["wear_micro_per_kwh"],
        "°C": True,
    }.items():
        assert (word in text) == bool(is_on), (word, text)


@given(WINDOWS)
def test_merging_keeps_every_minute(windows):
    spans = [(day, span.start, span.end) for span in week.merge_windows(windows) for day in span.days]
    assert minutes_of_week(spans) == minutes_of_week(windows)
    assert not week.overlaps(spans)


@given(WINDOWS)
def test_overlap_is_seen(windows):
    minutes = [minute for window in windows for minute in minutes_of_week([window])]
    assert week.overlaps(windows) == (len(minutes) != len(set(minutes)))


def test_every_setting_that_a_reason_names_is_in_the_editor():
    named = {reason.setting for reason in REASONS.values()} - {""}
    assert {field for field in named if settings.setting_of(field) is None} == set()
    assert set(rules.FIELDS) <= set(settings.SETTINGS)


@pytest.mark.parametrize("preset", presets.PRESETS, ids=lambda preset: preset.code)
def test_a_preset_is_valid_is_recognized_and_leaves_the_owners_prices(preset):
    mine = presets.default_rules() | {
        "time_zone": "Asia/Tokyo",
        "tariff_micro_per_kwh": 31_000_000,
        "wear_micro_per_kwh": 7,
        "network": "any",
        "tariff_windows": [[0, 60, 120, 20_000_000]],
    }
    result = presets.apply(preset, mine)
    assert rules.check(result) == []
    assert presets.matching_code(result) == preset.code
    assert {field: result[field] for field in presets.KEPT_RULES} == {
        field: mine[field] for field in presets.KEPT_RULES
    }
    if preset.code == "cheapest":
        assert result["price_limit_micro_per_kwh"] == 20_000_000
