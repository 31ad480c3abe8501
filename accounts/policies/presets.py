"""Ready-made sets of rules. A preset never changes the owner's time zone, electricity prices or battery wear."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounts.models import OwnerPolicy
from accounts.policies import rules
from accounts.policies.rules import Rules

KEPT_RULES = ("time_zone", "tariff_micro_per_kwh", "tariff_windows", "wear_micro_per_kwh")
EVERY_NIGHT = [[weekday, 22 * 60, 6 * 60] for weekday in range(7)]
WEEKDAYS_AT_SEVEN = [[weekday, 7 * 60] for weekday in range(5)]


@dataclass(frozen=True)
class Preset:
    code: str
    title: str
    sentence: str
    changes: Mapping[str, Any]  # differences from the default rules


PRESETS = (
    Preset(
        "careful",
        "Careful",
        "At any time, but only plugged in, on Wi-Fi and with half the charge kept. Every car begins with these rules.",
        {},
    ),
    Preset(
        "overnight",
        "Overnight",
        "Like Careful, and only from 22:00 to 6:00.",
        {"windows": EVERY_NIGHT},
    ),
    Preset(
        "home_charger",
        "Home charger",
        "On its charger, from 30 % charge. In the four hours before 7:00 on weekdays it works only with 80 % or more.",
        {
            "charge_stop_percent": 30,
            "charge_resume_percent": 35,
            "ready_by": WEEKDAYS_AT_SEVEN,
            "ready_by_percent": 80,
            "ready_by_lead_minutes": 240,
        },
    ),
    Preset(
        "solar",
        "Solar only",
        "Only while the car charges from solar.",
        {"power_rule": OwnerPolicy.PowerRule.SOLAR.value, "charge_stop_percent": 40, "charge_resume_percent": 45},
    ),
    Preset(
        "cheapest",
        "Cheapest hours",
        "Only while electricity is at the lowest price of the tariff that you filled in.",
        {"power_rule": OwnerPolicy.PowerRule.BELOW_PRICE.value},
    ),
    Preset(
        "maximum",
        "Maximum",
        "Whenever the car stands: unplugged too, down to 20 % charge, on any network. Earns most, wears most.",
        {
            "plugged_in_only": False,
            "charge_stop_percent": 20,
            "charge_resume_percent": 25,
            "network": OwnerPolicy.Network.ANY.value,
            "heat_stop_c": 60,
            "heat_resume_c": 55,
        },
    ),
)
PRESETS_BY_CODE = {preset.code: preset for preset in PRESETS}


def apply(preset: Preset, now: Rules) -> Rules:
    """Return the rules after applying a preset to the present rules `now`."""
    result = default_rules() | dict(preset.changes) | {field: now[field] for field in KEPT_RULES}
    if preset.code == "cheapest":
        result["price_limit_micro_per_kwh"] = min(
            [now["tariff_micro_per_kwh"], *(row[3] for row in now["tariff_windows"])]
        )
    return rules.canonical(result)


def matching_code(now: Rules) -> str:
    """Return the code of the preset that equals these rules, or "" if none does."""
    return next((preset.code for preset in PRESETS if apply(preset, now) == now), "")


def default_rules() -> Rules:
    """Return the rules of a new car."""
    return rules.rules_of(OwnerPolicy())
