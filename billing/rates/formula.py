"""The formula that turns work into money, in integers, so that anybody can compute it again.

`driveway-verify` runs this module on machines without Django, so it imports nothing at all. The database settles by the
same formula (billing_full_micro and billing_owner_micro in billing/rules/functions.sql); a property test compares the
two.
"""

MS_PER_HOUR = 3_600_000
MWH_PER_KWH = 1_000_000
PERMILLE = 1_000
# The least common multiple of the two denominators: time and energy are added as integers and rounded once, together.
COMMON = 18_000_000
TIME_PARTS, ENERGY_PARTS = COMMON // MS_PER_HOUR, COMMON // MWH_PER_KWH
# Verification counts energy up to this many halves (one and a half times) of what the class draws in the paid time.
ENERGY_CLAMP_HALVES = 3


def full_micro(*, compute_ms: int, energy_mwh: int, price_micro_per_hour: int, price_micro_per_kwh: int) -> int:
    """Return the full price of work in micro-units: time and energy at their prices, rounded once, half to even."""
    parts = TIME_PARTS * compute_ms * price_micro_per_hour + ENERGY_PARTS * energy_mwh * price_micro_per_kwh
    return round_half_even(parts, COMMON)


def owner_micro(
    *, compute_ms: int, energy_mwh: int, price_micro_per_hour: int, price_micro_per_kwh: int, owner_share_permille: int
) -> int:
    """Return the owner's pay in micro-units: the share of the price of time and all of that of energy, rounded down.

    It is never more than the full price, since it is a part of the same exact amount and rounded down.
    """
    parts = TIME_PARTS * compute_ms * price_micro_per_hour * owner_share_permille
    parts += ENERGY_PARTS * energy_mwh * price_micro_per_kwh * PERMILLE
    return parts // (COMMON * PERMILLE)


def paid_time_ms(*, items: int, us_per_item: int, slowness_permille: int, paid_time_permille: int) -> int:
    """Return the most milliseconds of a unit that count, rounded up.

    That is the trial run's time (`us_per_item`, on the admission machine) x the class's slowness x
    `paid_time_permille`.
    """
    return _ceil_div(items * us_per_item * slowness_permille * paid_time_permille, 1_000 * PERMILLE * PERMILLE)


def energy_mwh(*, compute_ms: int, power_mw: int, halves: int = ENERGY_CLAMP_HALVES) -> int:
    """Return `halves` halves of what a class draws in this time, in milliwatt-hours, rounded up.

    By default that is the most energy that verification counts for the time.
    """
    return _ceil_div(halves * power_mw * compute_ms, 2 * MS_PER_HOUR)


def round_half_even(numerator: int, denominator: int) -> int:
    """Return numerator / denominator, rounded half to even, for integers of any size; denominator > 0."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
