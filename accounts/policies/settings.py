"""The label and place of each rule in the editor, for links from "why is it not working" to the rule that stops it."""

from typing import NamedTuple


class Setting(NamedTuple):
    label: str
    anchor: str


SETTINGS = {
    "windows": Setting("Schedule", "schedule"),
    "time_zone": Setting("Time zone", "schedule"),
    "plugged_in_only": Setting("Plugged in", "charge"),
    "charge_stop_percent": Setting("Charge to keep", "charge"),
    "charge_resume_percent": Setting("Charge to resume at", "charge"),
    "ready_by": Setting("Ready by", "charge"),
    "ready_by_percent": Setting("Ready by", "charge"),
    "ready_by_lead_minutes": Setting("Ready by", "charge"),
    "network": Setting("Network", "network"),
    "data_cap_mb_per_month": Setting("Mobile data a month", "network"),
    "heat_stop_c": Setting("Heat", "heat"),
    "heat_resume_c": Setting("Heat", "heat"),
    "day_share_percent": Setting("Share of the day", "share"),
    "power_rule": Setting("Solar or price", "electricity"),
    "price_limit_micro_per_kwh": Setting("Price limit", "electricity"),
    "tariff_micro_per_kwh": Setting("Price of electricity", "electricity"),
    "tariff_windows": Setting("Price by the hour", "electricity"),
    "wear_micro_per_kwh": Setting("Battery wear", "electricity"),
    "pause": Setting("Pause", "pause"),
}


def setting_of(field: str) -> Setting | None:
    """Return the setting of a rule, or None if there is no such rule."""
    return SETTINGS.get(field)
