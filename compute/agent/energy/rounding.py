"""Whole milliwatt-hours out of microwatt-hours, with nothing lost.

Small units use less than one milliwatt-hour. What rounding takes or gives is carried, in microwatt-hours, to
the vehicle's next record, so that the sum over records never strays from the true sum by more than half a
milliwatt-hour.
"""

from __future__ import annotations


def to_mwh(energy_uwh: int, carry_uwh: int) -> tuple[int, int]:
    """Whole milliwatt-hours (half up, never negative) of a unit plus the carry, and the new carry."""
    total = energy_uwh + carry_uwh
    energy_mwh = max(0, round_half_up(total, 1000))
    return energy_mwh, total - energy_mwh * 1000


def round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
