"""Conversion of amounts: Stripe counts in a currency's smallest coin (minor unit), we count in micro-units."""

from core.errors import InvalidInput
from core.money import MICRO

# Digits after the decimal point, for currencies that do not have two: docs.stripe.com/currencies.
DIGITS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}


def micro_per_minor(currency: str) -> int:
    """Return the number of micro-units in one smallest coin: 10,000 in a cent."""
    return int(MICRO // 10 ** DIGITS.get(currency.upper(), 2))


def to_minor(amount_micro: int, currency: str) -> int:
    """Convert micro-units to smallest coins: `12_340_000` -> 1234 cents.

    Raises InvalidInput (`amount_not_whole`) when the amount is not a whole number of coins.
    """
    minor, rest = divmod(amount_micro, micro_per_minor(currency))
    if rest:
        raise InvalidInput(
            f"The amount must be a whole number of the smallest coin of {currency}.",
            code="amount_not_whole",
            amount_micro=amount_micro,
        )
    return minor


def to_micro(amount_minor: int, currency: str) -> int:
    """Convert smallest coins to micro-units: 1234 cents -> `12_340_000`."""
    return amount_minor * micro_per_minor(currency)
