"""Times, days and prices as text. The words are English; numbers and times follow the owner's locale."""

from collections.abc import Iterable, Sequence
from datetime import time
from decimal import Decimal

from babel import Locale, UnknownLocaleError
from babel.dates import format_time
from babel.numbers import format_currency, format_decimal

from accounts.policies.week import Span
from core.money import MICRO

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS, WEEKEND = (0, 1, 2, 3, 4), (5, 6)


class Words:
    """Formats numbers and times for one owner, with a locale like "de-DE" and a currency like "EUR"."""

    def __init__(self, locale: str, currency: str) -> None:
        self.currency = currency
        try:
            self._locale = Locale.parse(locale.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            self._locale = Locale("en", "US")

    def at(self, minute: int) -> str:
        return format_time(time(minute // 60, minute % 60), "short", locale=self._locale)

    def number(self, value: int) -> str:
        return format_decimal(value, locale=self._locale)

    def per_kwh(self, micro: int) -> str:
        amount = Decimal(micro) / MICRO
        return f"{format_currency(amount, self.currency, locale=self._locale, decimal_quantization=False)} per kWh"

    def span(self, span: Span) -> str:
        """Return a span as text: "on weekdays from 22:00 to 6:00", "all day on Saturday"."""
        if span.is_whole_day:
            return "at all hours" if len(span.days) == 7 else f"all day {days(span.days)}"
        return f"{days(span.days)} from {self.at(span.start)} to {self.at(span.end)}"

    def spans(self, spans: Iterable[Span]) -> str:
        return join_words([self.span(span) for span in spans])


def days(which: Sequence[int]) -> str:
    """Return weekdays as text: "every day", "on weekdays", "on Monday to Thursday", "on Monday and Friday"."""
    which = tuple(sorted(which))
    if len(which) == 7:
        return "every day"
    if which in (WEEKDAYS, WEEKEND):
        return "on weekdays" if which == WEEKDAYS else "at weekends"
    if len(which) > 2 and which[-1] - which[0] == len(which) - 1:
        return f"on {DAYS[which[0]]} to {DAYS[which[-1]]}"
    return f"on {join_words([DAYS[day] for day in which])}"


def duration(minutes: int) -> str:
    """Return minutes as text: "3 hours", "7 hours and 12 minutes"."""
    hours, rest = divmod(minutes, 60)
    parts = [
        f"{count} {word}{'' if count == 1 else 's'}" for count, word in ((hours, "hour"), (rest, "minute")) if count
    ]
    return " and ".join(parts) or "0 minutes"


def join_words(parts: Sequence[str]) -> str:
    """Return a list as text: "a", "a and b", "a, b and c"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
