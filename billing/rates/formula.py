"""The one formula by which work becomes money, as anybody may compute it again: pure, and of the standard library alone.

`driveway-verify` runs this module on machines without Django, so it imports nothing of ours. The database settles by the
same formula (billing_full_micro and billing_owner_micro in migrations/0009_rating.py); a property test holds them equal.
"""

MS_PER_HOUR = 3_600_000
MWH_PER_KWH = 1_000_000
PERMILLE = 1_000
# The least common denominator of both: time and energy are added as whole numbers and rounded once, together.
COMMON = 18_000_000
TIME_PARTS, ENERGY_PARTS = COMMON // MS_PER_HOUR, COMMON // MWH_PER_KWH
# Verification counts energy up to one and a half times what the class draws by its model in the paid time.
ENERGY_CLAMP_HALVES = 3


def full_micro(*, compute_ms: int, energy_mwh: int, price_micro_per_hour: int, price_micro_per_kwh: int) -> int:
    """What work costs in full: time and energy at their prices, rounded once, half to even."""
    parts = TIME_PARTS * compute_ms * price_micro_per_hour + ENERGY_PARTS * energy_mwh * price_micro_per_kwh
    return round_half_even(parts, COMMON)


def owner_micro(
    *, compute_ms: int, energy_mwh: int, price_micro_per_hour: int, price_micro_per_kwh: int, owner_share_permille: int
) -> int:
    """What the owner is paid: the share of the time's price and all of the energy's, rounded down once.

    Never more than the full price: that is the rounded whole of which this is a part, rounded down.
    """
    parts = TIME_PARTS * compute_ms * price_micro_per_hour * owner_share_permille
    parts += ENERGY_PARTS * energy_mwh * price_micro_per_kwh * PERMILLE
    return parts // (COMMON * PERMILLE)


def paid_time_ms(*, items: int, us_per_item: int, slowness_permille: int, paid_time_permille: int) -> int:
    """The most milliseconds of a unit that count: the trial's time on the class, so many times, rounded up."""
    return _up(items * us_per_item * slowness_permille * paid_time_permille, 1_000 * PERMILLE * PERMILLE)


def energy_mwh(*, compute_ms: int, power_mw: int, halves: int = ENERGY_CLAMP_HALVES) -> int:
    """So many halves of what a class draws in this time, rounded up: by default the most that counts beside it."""
    return _up(halves * power_mw * compute_ms, 2 * MS_PER_HOUR)


def round_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator, rounded once, half to even, whatever their size; denominator > 0."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def _up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
