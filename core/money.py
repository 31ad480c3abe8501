"""Money is integers: micro-units, millionths of a currency's major unit. No float ever holds money."""

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
