"""Numbers, money and times in the locales of four countries."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.template import Context, Template
from django.utils import timezone

from core import locale

WINTER, SUMMER = datetime(2026, 11, 24, 6, 2, tzinfo=UTC), datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
PEOPLE = {
    "de-DE": "Europe/Berlin",
    "en-GB": "Europe/London",
    "fr-FR": "Europe/Paris",
    "en-US": "America/New_York",
}


def plain(text):
    """Return the text with ordinary spaces, so that the tables below are readable."""
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (1_234_567_890, {"de-DE": "1.234,57 €", "en-GB": "€1,234.57", "fr-FR": "1 234,57 €", "en-US": "€1,234.57"}),
        (-1_500_000, {"de-DE": "-1,50 €", "en-GB": "-€1.50", "fr-FR": "-1,50 €", "en-US": "-€1.50"}),
        (123, {"de-DE": "0,000123 €", "en-GB": "€0.000123", "fr-FR": "0,000123 €", "en-US": "€0.000123"}),
        (-1, {"de-DE": "-0,000001 €", "en-GB": "-€0.000001", "fr-FR": "-0,000001 €", "en-US": "-€0.000001"}),
        (0, {"de-DE": "0,00 €", "en-GB": "€0.00", "fr-FR": "0,00 €", "en-US": "€0.00"}),
    ],
)
def test_money(amount, written):
    for name, text in written.items():
        with locale.override(name, "UTC"):
            assert plain(locale.format_money(amount, "EUR")) == text


def test_money_of_another_currency_is_never_taken_for_ones_own():
    with locale.override("fr-FR", "UTC"):
        assert plain(locale.format_money(2_000_000, "USD")) == "2,00 $US"
    with locale.override("en-GB", "UTC"):
        assert locale.format_money(2_000_000, "USD") == "US$2.00"


@pytest.mark.parametrize(
    ("energy_mwh", "german", "american"),
    [
        (0, "0,000 Wh", "0.000 Wh"),
        (1, "0,001 Wh", "0.001 Wh"),
        (-20, "-0,020 Wh", "-0.020 Wh"),
        (1_500, "1,5 Wh", "1.5 Wh"),
        (999_999, "999,999 Wh", "999.999 Wh"),
        (1_234_500_000, "1.234,5 kWh", "1,234.5 kWh"),
    ],
)
def test_energy(energy_mwh, german, american):
    with locale.override("de-DE", "UTC"):
        assert plain(locale.energy(energy_mwh)) == german
    with locale.override("en-US", "UTC"):
        assert plain(locale.energy(energy_mwh)) == american


def test_duration():
    with locale.override("de-DE", "UTC"):
        shown = [
            plain(locale.duration(ms)) for ms in (0, 4, 1_250, 59_900, 60_000, 3_599_999, 3_600_000, 86_400_000 * 50)
        ]
    assert shown == ["0 ms", "4 ms", "1,2 s", "59,9 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "1.200 h 0 min"]


@pytest.mark.parametrize(
    ("name", "winter", "summer"),
    [
        ("de-DE", "24.11.2026, 07:02 MEZ", "02.07.2026, 00:30 MESZ"),
        ("en-GB", "24 Nov 2026, 06:02 GMT", "1 Jul 2026, 23:30 BST"),
        ("fr-FR", "24 nov. 2026, 07:02 UTC+01:00", "2 juil. 2026, 00:30 UTC+02:00"),
        ("en-US", "Nov 24, 2026, 1:02 AM EST", "Jul 1, 2026, 6:30 PM EDT"),
    ],
)
def test_moments_in_ones_own_zone_in_winter_and_summer(name, winter, summer):
    with locale.override(name, PEOPLE[name]):
        assert [plain(locale.moment(at)) for at in (WINTER, SUMMER)] == [winter, summer]


def test_the_hour_that_comes_twice_is_told_apart():
    with locale.override("de-DE", "Europe/Berlin"):
        first, second = (locale.moment(datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1))
    assert (first, second) == ("25.10.2026, 02:30 MESZ", "25.10.2026, 02:30 MEZ")


def test_days_and_shares():
    with locale.override("fr-FR", "UTC"):
        shown = (
            locale.day(date(2026, 11, 24)),
            plain(locale.percent(Decimal("0.456"))),
        )
    assert shown == ("24 nov. 2026", "46 %")


def test_what_is_unknown_means_the_default():
    for name, zone in (("xx-YY", "Nowhere/At_All"), ("", ""), ("../../etc", "../../etc/passwd"), ("de\0", "a\0")):
        with locale.override(name, zone):
            assert plain(locale.moment(WINTER)) == "Nov 24, 2026, 6:02 AM UTC"


def test_it_ends_with_the_request_also_when_that_fails():
    with pytest.raises(RuntimeError), locale.override("de-DE", "Europe/Berlin"):
        raise RuntimeError
    assert locale.format_money(1_000_000, "USD") == "$1.00"
    assert timezone.get_current_timezone_name() == "UTC"


def test_in_templates():
    page = Template(
        "{% load units %}{{ a|money:'EUR' }} {{ b|energy }} {{ c|duration }} {{ d|number }} {{ e|datetime }} {{"
        " f|money }}"
    )
    with locale.override("de-DE", "Europe/Berlin"):
        text = page.render(Context({"a": 5, "b": 7, "c": 100, "d": 1234, "e": WINTER, "f": None}))
    assert plain(text) == "0,000005 € 0,007 Wh 100 ms 1.234 24.11.2026, 07:02 MEZ –"


def test_every_choice_exists():
    assert all(str(locale.parse(name)).replace("_", "-") == name for name in locale.LOCALES)
    assert {"UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"} <= set(locale.time_zones())
    assert ("DE", "Germany") in locale.countries()
    assert 240 < len(locale.countries()) < 260
