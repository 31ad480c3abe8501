"""Validation of an owner's rules, used by the editor's form and by the service."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import available_timezones

from accounts.models import OwnerPolicy
from accounts.policies import week
from core.money import MICRO

Rules = dict[str, Any]

MAX_WINDOWS = 168
MAX_MICRO_PER_KWH = 100_000_000_000  # 100,000 major units: enough for any currency
# Rule -> smallest and largest value.
RANGES: dict[str, tuple[int, int]] = {
    "ready_by_percent": (1, 100),
    "ready_by_lead_minutes": (15, 1440),
    "day_share_percent": (1, 100),
    "charge_stop_percent": (0, 100),
    "charge_resume_percent": (0, 100),
    "heat_stop_c": (20, 110),
    "heat_resume_c": (0, 110),
    "data_cap_mb_per_month": (1, 1_000_000),
    "price_limit_micro_per_kwh": (0, MAX_MICRO_PER_KWH),
    "tariff_micro_per_kwh": (0, MAX_MICRO_PER_KWH),
    "wear_micro_per_kwh": (0, MAX_MICRO_PER_KWH),
}
CHOICES = {"network": OwnerPolicy.Network.values, "power_rule": OwnerPolicy.PowerRule.values}
LISTS = ("windows", "ready_by", "tariff_windows")
FIELDS = (*RANGES, *CHOICES, *LISTS, "plugged_in_only", "time_zone")


class Problem(NamedTuple):
    """One problem of a set of rules. `field` is the rule that a person would change to solve it."""

    field: str
    code: str
    message: str


def rules_of(policy: OwnerPolicy) -> Rules:
    """Return the rules of a policy in canonical form. A pause is not a rule and is left out."""
    return canonical({field: getattr(policy, field) for field in FIELDS})


def canonical(rules: Mapping[str, Any]) -> Rules:
    """Return the same rules with sorted lists without duplicates, so that rules with equal meaning compare equal."""
    result = dict(rules)
    for field in LISTS:
        if field in result and not _shape_problem(field, result[field]):
            result[field] = sorted({_row(field, row) for row in result[field]})
            result[field] = [list(row) for row in result[field]]
    return result


def check(rules: Mapping[str, Any]) -> list[Problem]:
    """Return all problems of a complete set of rules; an empty list if it is valid."""
    problems = [problem for field, value in rules.items() if (problem := _check_one(field, value))]
    invalid = {problem.field for problem in problems}
    if not invalid & {"charge_stop_percent", "charge_resume_percent"}:
        problems += _charge(rules)
    if not invalid & {"heat_stop_c", "heat_resume_c"}:
        problems += _heat(rules)
    if "tariff_windows" not in invalid and week.overlaps(row[:3] for row in rules["tariff_windows"]):
        problems.append(
            Problem("tariff_windows", "tariff_overlap", "Two of these times overlap, so their price is unclear.")
        )
    return problems


def _check_one(field: str, value: Any) -> Problem | None:
    if field in RANGES:
        low, high = RANGES[field]
        if not _is_int(value) or not low <= value <= high:
            return Problem(field, "out_of_range", f"This must be a whole number from {low:,} to {high:,}.")
    elif field in CHOICES and value not in CHOICES[field]:
        return Problem(field, "choice_invalid", "Choose one of these.")
    elif field in LISTS:
        return _shape_problem(field, value)
    elif field == "plugged_in_only" and not isinstance(value, bool):
        return Problem(field, "choice_invalid", "This must be yes or no.")
    elif field == "time_zone" and (not isinstance(value, str) or (value and value not in time_zones())):
        return Problem(field, "time_zone_unknown", "There is no such time zone.")
    return None


def _charge(rules: Mapping[str, Any]) -> list[Problem]:
    if rules["charge_resume_percent"] >= rules["charge_stop_percent"]:
        return []
    text = "Work cannot resume at a lower charge than it stops at."
    return [Problem("charge_resume_percent", "charge_hysteresis", text)]


def _heat(rules: Mapping[str, Any]) -> list[Problem]:
    if rules["heat_resume_c"] <= rules["heat_stop_c"]:
        return []
    return [Problem("heat_resume_c", "heat_hysteresis", "Work cannot resume at a higher temperature than it stops at.")]


def _shape_problem(field: str, value: Any) -> Problem | None:
    fits = ROWS[field]
    if not isinstance(value, list | tuple) or not all(isinstance(row, list | tuple) and fits(*row) for row in value):
        return Problem(field, "times_invalid", "One of these times is not a time of the week.")
    if len(value) > MAX_WINDOWS:
        return Problem(field, "too_many", f"There can be {MAX_WINDOWS} of these at most.")
    return None


def _fits_window(*row: Any) -> bool:
    return (
        len(row) == 3
        and all(map(_is_int, row))
        and 0 <= row[0] <= 6
        and 0 <= row[1] < week.DAY_MINUTES
        and 0 <= row[2] <= week.DAY_MINUTES
    )


def _fits_tariff(*row: Any) -> bool:
    return len(row) == 4 and _fits_window(*row[:3]) and _is_int(row[3]) and 0 <= row[3] <= MAX_MICRO_PER_KWH


def _fits_moment(*row: Any) -> bool:
    return len(row) == 2 and all(map(_is_int, row)) and 0 <= row[0] <= 6 and 0 <= row[1] < week.DAY_MINUTES


ROWS: dict[str, Callable[..., bool]] = {
    "windows": _fits_window,
    "ready_by": _fits_moment,
    "tariff_windows": _fits_tariff,
}


def _row(field: str, row: Any) -> tuple[int, ...]:
    if field == "ready_by":
        return tuple(row)
    return (
        row[0],
        row[1],
        row[2] % week.DAY_MINUTES,
        *row[3:],
    )  # an end at midnight may be written as 0 or 1440; store 0


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """Return the names of all IANA time zones that this machine knows."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def major_units(micro: int) -> str:
    """Return micro-units as a person types them: `180200` -> "0.1802"."""
    whole, rest = divmod(micro, MICRO)
    return f"{whole}.{rest:06}".rstrip("0").removesuffix(".") if rest else str(whole)


LEGACY_ZONES = ("Brazil/", "Canada/", "Chile/", "Etc/", "Mexico/", "US/")


def time_zone_choices() -> list[str]:
    """Return the time zones to choose from: those named after a place, without names kept for old systems."""
    return sorted(zone for zone in time_zones() if "/" in zone and not zone.startswith(LEGACY_ZONES))
