"""Dates, money and energy as people write them: in the locale and the time zone that are in force for this request or mail.

Nobody's in particular: "en-US" and UTC, which is what customers and staff see. Words stay English; only figures follow.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from asgiref.local import Local
from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_date, format_skeleton, format_time, get_timezone_gmt, get_timezone_name
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_symbol
from django.utils import timezone

from core.money import MICRO, MWH_PER_KWH

DEFAULT = "en-US"
# What an owner can choose. Languages of which we show only the figures and dates.
LOCALES = (
    "en-US",
    "en-GB",
    "en-CA",
    "en-AU",
    "en-IE",
    "en-IN",
    "cs-CZ",
    "da-DK",
    "de-DE",
    "de-AT",
    "de-CH",
    "es-ES",
    "es-MX",
    "fi-FI",
    "fr-FR",
    "fr-BE",
    "fr-CA",
    "fr-CH",
    "it-IT",
    "ja-JP",
    "ko-KR",
    "nl-NL",
    "nl-BE",
    "nb-NO",
    "pl-PL",
    "pt-PT",
    "pt-BR",
    "sv-SE",
)
TINY = Decimal("0.1")  # of a currency's unit: below it, two places would say nothing
TINY_WH = Decimal("0.1")
MS_PER_S, S_PER_MIN, S_PER_HOUR = 1000, 60, 3600
_active = Local()


@contextmanager
def use(locale: str, time_zone: str) -> Iterator[None]:
    """Within it, figures are in this locale and times in this zone; unknown names mean the defaults."""
    before = getattr(_active, "locale", DEFAULT)
    _active.locale = locale
    try:
        with timezone.override(zone(time_zone)):
            yield
    finally:
        _active.locale = before


def active() -> Locale:
    return parse(getattr(_active, "locale", DEFAULT))


@cache
def parse(name: str) -> Locale:
    try:
        return Locale.parse(name, sep="-")
    except (ValueError, UnknownLocaleError):
        return Locale.parse(DEFAULT, sep="-")


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        return ZoneInfo("UTC")


@cache
def time_zones() -> tuple[str, ...]:
    """The zones that somebody lives in, and UTC, by name."""
    known = available_timezones()
    return ("UTC", *sorted(name for name in get_global("zone_territories") if name in known and "/" in name))


@cache
def countries() -> tuple[tuple[str, str], ...]:
    """ISO 3166-1 codes with their English names, by name."""
    territories = Locale("en").territories
    codes = {code for code in get_global("zone_territories").values() if len(code) == 2 and code != "ZZ"}
    return tuple(sorted(((code, territories[code]) for code in codes), key=lambda pair: pair[1]))


def format_money(amount_micro: int, currency: str = "USD", *, places: int | None = None) -> str:
    """Return an amount as people write it: two places, or the six that make one below a tenth of a unit readable.

    `places` asks for another number where the amount is not so small.
    """
    value, locale = Decimal(amount_micro) / MICRO, active()
    shown = 6 if amount_micro and abs(value) < TINY else 2 if places is None else places
    pattern = locale.currency_formats["standard"].pattern.replace("0.00", f"0.{'0' * shown}" if shown else "0")
    if get_currency_symbol(currency, locale=locale)[-1:].isalpha():  # "CHF 1.00"; Babel leaves this space out
        pattern = pattern.replace("¤#", "¤\u00a0#")
    return format_currency(value, currency, format=pattern, locale=locale, currency_digits=False)


def energy(energy_mwh: int) -> str:
    """From "0.001 Wh" to "12.3 kWh": three places below a tenth of a unit, one above."""
    locale, value_wh = active(), Decimal(energy_mwh) / 1000
    if abs(value_wh) >= 1000:
        return f"{format_decimal(Decimal(energy_mwh) / MWH_PER_KWH, format='#,##0.0##', locale=locale)}\u00a0kWh"
    pattern = "#,##0.000" if abs(value_wh) < TINY_WH else "#,##0.0##"
    return f"{format_decimal(value_wh, format=pattern, locale=locale)}\u00a0Wh"


def duration(duration_ms: int) -> str:
    """Milliseconds, seconds with one place, minutes and seconds, hours and minutes: whichever says something."""
    seconds = duration_ms // MS_PER_S
    if seconds < 1:
        return f"{duration_ms}\u00a0ms"
    if seconds < S_PER_MIN:
        return f"{format_decimal(Decimal(duration_ms) / MS_PER_S, format='0.0', locale=active())}\u00a0s"
    if seconds < S_PER_HOUR:
        return f"{seconds // S_PER_MIN}\u00a0min {seconds % S_PER_MIN}\u00a0s"
    return f"{number(seconds // S_PER_HOUR)}\u00a0h {seconds % S_PER_HOUR // S_PER_MIN}\u00a0min"


def number(value: int | Decimal) -> str:
    return format_decimal(value, locale=active())


def percent(fraction: Decimal) -> str:
    """A share between 0 and 1 in whole percent."""
    return format_percent(fraction, locale=active())


def day(value: date) -> str:
    return format_date(value, "medium", locale=active())


def month(value: date) -> str:
    """ "November 2026"."""
    return format_skeleton("yMMMM", value, locale=active())


def short_month(value: date) -> str:
    """ "Nov", as an axis has room for it."""
    return format_date(value, "LLL", locale=active())


def moment(at: datetime) -> str:
    """Date and time to the minute in the zone in force, and that zone's name: twice a year only the name tells two apart."""
    locale, local = active(), timezone.localtime(at)
    text = f"{format_date(local, 'medium', locale=locale)}, {format_time(local, 'short', tzinfo=local.tzinfo, locale=locale)}"
    return f"{text} {_zone_name(local, locale)}"


def _zone_name(local: datetime, locale: Locale) -> str:
    """ "MEZ", "EST"; where the language has no short name, the distance from UTC."""
    if str(local.tzinfo) == "UTC":
        return "UTC"
    name = get_timezone_name(local, width="short", locale=locale)
    return name if name[:1].isalpha() else get_timezone_gmt(local, width="long", locale=locale)
