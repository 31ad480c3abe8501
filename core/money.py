"""Units of money and energy.

Money is an integer in micro-units, millionths of the currency's major unit, never a float.
"""

MICRO = 1_000_000
NANO_PER_MICRO = 1_000
MS_PER_HOUR = 3_600_000
MWH_PER_KWH = 1_000_000
# The largest cap or threshold that a user may set: 1,000,000,000 major units.
LIMIT_MAX_MICRO = 10**15


def round_half_even(numerator: int, denominator: int) -> int:
    """Return numerator / denominator, rounded half to even.

    Both are integers of any size; the denominator is positive.
    """
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))
