"""What work costs and what its owner is paid, as pure arithmetic: the one formula of site, database and `driveway-verify`.

Imports nothing, so that anybody can read and run it. Prices are micro-units (millionths) of a currency for a compute-hour
and for a kilowatt-hour, the share is in thousandths of the time's price.
"""

MS_PER_HOUR = 3_600_000
MWH_PER_KWH = 1_000_000
PERMILLE = 1_000
# Both prices over one denominator: 5 x 3,600,000 = 18 x 1,000,000.
DENOMINATOR = 18_000_000
TIME_PARTS, ENERGY_PARTS = DENOMINATOR // MS_PER_HOUR, DENOMINATOR // MWH_PER_KWH


def round_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator, rounded once, half to even; denominator > 0."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def full_micro(*, compute_ms: int, energy_mwh: int, price_micro_per_hour: int, price_micro_per_kwh: int) -> int:
    """What a customer pays for the time and the energy together: rounded once, half to even."""
    time_part = compute_ms * price_micro_per_hour * TIME_PARTS
    energy_part = energy_mwh * price_micro_per_kwh * ENERGY_PARTS
    return round_half_even(time_part + energy_part, DENOMINATOR)


def owner_micro(
    *, compute_ms: int, energy_mwh: int, price_micro_per_hour: int, price_micro_per_kwh: int, owner_share_permille: int
) -> int:
    """What the owner is paid of it: the share of the time's price and the whole of the energy's, rounded down once."""
    time_part = compute_ms * price_micro_per_hour * TIME_PARTS * owner_share_permille
    energy_part = energy_mwh * price_micro_per_kwh * ENERGY_PARTS * PERMILLE
    return (time_part + energy_part) // (DENOMINATOR * PERMILLE)
