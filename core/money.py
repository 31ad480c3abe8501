"""Money is integers: micro-units, millionths of a currency's major unit. No float ever holds money."""

from decimal import Decimal

MICRO = 1_000_000
NANO_PER_MICRO = 1_000
MS_PER_HOUR = 3_600_000
MWH_PER_KWH = 1_000_000
# The largest cap or threshold that anybody may set: a thousand million of the major unit.
LIMIT_MAX_MICRO = 10**15


def round_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator, rounded once, half to even; both integers of any size, denominator > 0."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def format_micro(amount_micro: int, currency: str = "USD", *, places: int = 2) -> str:
    """`1234567` -> `$1.23`; small amounts keep the places that make them readable ("$0.000123")."""
    value = Decimal(amount_micro) / MICRO
    if amount_micro and abs(value) < Decimal("0.1"):
        places = 6
    symbol = {"USD": "$", "EUR": "€", "GBP": "£"}.get(currency, f"{currency} ")
    sign = "−" if value < 0 else ""
    return f"{sign}{symbol}{abs(value):,.{places}f}"
