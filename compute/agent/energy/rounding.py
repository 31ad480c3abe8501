"""Round microwatt-hours to whole milliwatt-hours without losing any energy over many records.

Small units use less than one milliwatt-hour. The rounding difference is carried, in microwatt-hours, to the vehicle's
next record. So the sum over all records differs from the true sum by at most half a milliwatt-hour.
"""

from __future__ import annotations


def to_mwh(energy_uwh: int, carry_uwh: int) -> tuple[int, int]:
    """Return (whole milliwatt-hours, new carry in microwatt-hours) of a unit's energy plus the old carry.

    Halves are rounded up; the result is never negative.
    """
    total = energy_uwh + carry_uwh
    energy_mwh = max(0, round_half_up(total, 1000))
    return energy_mwh, total - energy_mwh * 1000


def round_half_up(numerator: int, denominator: int) -> int:
    """Return the quotient as an integer, halves rounded up."""
    return (2 * numerator + denominator) // (2 * denominator)
