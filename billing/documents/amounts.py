"""Amounts on documents, printed exactly: the lines as printed must add up to the total, to the millionth."""

from decimal import Decimal

from babel.numbers import format_currency

from core import locale
from core.money import MICRO

MICRO_PER_CENT = 10_000


def exact_amount(amount_micro: int, currency: str) -> str:
    """Return the amount with two decimal places if it is in whole cents, else with six: "$12.30", "$0.000123"."""
    active = locale.active()
    places = 2 if amount_micro % MICRO_PER_CENT == 0 else 6
    pattern = active.currency_formats["standard"].pattern.replace("0.00", "0." + "0" * places)
    value = Decimal(amount_micro) / MICRO
    return format_currency(value, currency, format=pattern, locale=active, currency_digits=False)
