"""Format dates, money and energy in the locale and the time zone of the present request or mail.

The default, for customers, staff and the public, is "en-US" and UTC. Text stays English in every locale; only numbers
and dates change.
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
# The locales that an owner can choose. They apply to numbers and dates only.
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
SMALL_AMOUNT = Decimal("0.1")  # of the currency's major unit: a smaller amount needs more than two decimal places
SMALL_ENERGY_WH = Decimal("0.1")
MS_PER_S, S_PER_MIN, S_PER_HOUR = 1000, 60, 3600
_active = Local()


@contextmanager
def override(locale: str, time_zone: str) -> Iterator[None]:
    """Use this locale and time zone inside the `with` block. An unknown name means the default."""
    before = getattr(_active, "locale", DEFAULT)
    _active.locale = locale
    try:
        with timezone.override(zone(time_zone)):
            yield
    finally:
        _active.locale = before


def active() -> Locale:
    """Return the locale that `override` set for this thread or coroutine, or the default."""
    return parse(getattr(_active, "locale", DEFAULT))


@cache
def parse(name: str) -> Locale:
    """Return the locale with a name like "de-DE", or the default for an unknown name."""
    try:
        return Locale.parse(name, sep="-")
    except (ValueError, UnknownLocaleError):
        return Locale.parse(DEFAULT, sep="-")


def zone(name: str) -> ZoneInfo:
    """Return the time zone with an IANA name like "Europe/Berlin", or UTC for an unknown name."""
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        return ZoneInfo("UTC")


@cache
def time_zones() -> tuple[str, ...]:
    """Return the names of UTC and of all time zones that belong to a territory, sorted."""
    known = available_timezones()
    return ("UTC", *sorted(name for name in get_global("zone_territories") if name in known and "/" in name))


@cache
def countries() -> tuple[tuple[str, str], ...]:
    """Return pairs (ISO 3166-1 code, English name), sorted by name."""
    territories = Locale("en").territories
    codes = {code for code in get_global("zone_territories").values() if len(code) == 2 and code != "ZZ"}
    return tuple(sorted(((code, territories[code]) for code in codes), key=lambda pair: pair[1]))


def format_money(amount_micro: int, currency: str = "USD", *, places: int | None = None) -> str:
    """Return an amount with its currency: two decimal places, or six for an amount below a tenth of the major unit.

    `places` replaces the two, never the six.
    """
    value, locale = Decimal(amount_micro) / MICRO, active()
    shown = 6 if amount_micro and abs(value) < SMALL_AMOUNT else 2 if places is None else places
    pattern = locale.currency_formats["standard"].pattern.replace("0.00", f"0.{'0' * shown}" if shown else "0")
    if get_currency_symbol(currency, locale=locale)[-1:].isalpha():  # "CHF 1.00"; Babel leaves this space out
        pattern = pattern.replace("¤#", "¤\u00a0#")
    return format_currency(value, currency, format=pattern, locale=locale, currency_digits=False)


def energy(energy_mwh: int) -> str:
    """Return energy in Wh below 1 kWh, else in kWh: "0.001 Wh", "12.3 kWh".

    Three decimal places below 0.1 Wh, else one to three.
    """
    locale, value_wh = active(), Decimal(energy_mwh) / 1000
    if abs(value_wh) >= 1000:
        return f"{format_decimal(Decimal(energy_mwh) / MWH_PER_KWH, format='#,##0.0##', locale=locale)}\u00a0kWh"
    pattern = "#,##0.000" if abs(value_wh) < SMALL_ENERGY_WH else "#,##0.0##"
    return f"{format_decimal(value_wh, format=pattern, locale=locale)}\u00a0Wh"


def duration(duration_ms: int) -> str:
    """Return a duration in the units that fit its size: "4 ms", "1.2 s", "1 min 0 s" or "59 h 59 min"."""
    seconds = duration_ms // MS_PER_S
    if seconds < 1:
        return f"{duration_ms}\u00a0ms"
    if seconds < S_PER_MIN:
        return f"{format_decimal(Decimal(duration_ms) / MS_PER_S, format='0.0', locale=active())}\u00a0s"
    if seconds < S_PER_HOUR:
        return f"{seconds // S_PER_MIN}\u00a0min {seconds % S_PER_MIN}\u00a0s"
    return f"{number(seconds // S_PER_HOUR)}\u00a0h {seconds % S_PER_HOUR // S_PER_MIN}\u00a0min"


def number(value: int | Decimal) -> str:
    """Return a number with the locale's separators."""
    return format_decimal(value, locale=active())


def percent(fraction: Decimal) -> str:
    """Return a fraction between 0 and 1 in whole percent: "46%"."""
    return format_percent(fraction, locale=active())


def day(value: date) -> str:
    """Return a date of medium length: "Nov 24, 2026"."""
    return format_date(value, "medium", locale=active())


def month(value: date) -> str:
    """Return month and year: "November 2026"."""
    return format_skeleton("yMMMM", value, locale=active())


def short_month(value: date) -> str:
    """Return a short month for the axis of a chart: "Nov"."""
    return format_date(value, "LLL", locale=active())


def moment(at: datetime) -> str:
    """Return date, time to the minute and time zone: "24.11.2026, 07:02 MEZ".

    The zone's name is needed once a year: when the clocks go back, an hour comes twice and only the name differs.
    """
    locale, local = active(), timezone.localtime(at)
    time = format_time(local, "short", tzinfo=local.tzinfo, locale=locale)
    return f"{format_date(local, 'medium', locale=locale)}, {time} {_zone_name(local, locale)}"


def _zone_name(local: datetime, locale: Locale) -> str:
    """Return a short name, "MEZ" or "EST", or the offset from UTC where the locale has no short name."""
    if str(local.tzinfo) == "UTC":
        return "UTC"
    name = get_timezone_name(local, width="short", locale=locale)
    return name if name[:1].isalpha() else get_timezone_gmt(local, width="long", locale=locale)
