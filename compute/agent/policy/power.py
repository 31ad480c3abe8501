"""The owner's rule on the source and the price of electricity."""

from __future__ import annotations

from datetime import datetime

from compute.agent.policy.verdict import Availability, missing_value, refusal
from compute.agent.sensors.state import VehicleState
from compute.agent.state import clock
from compute.protocol import Policy


def power(policy: Policy, state: VehicleState, now: datetime) -> Availability | None:
    """Return a refusal unless the car charges from solar or the price is low enough, as the rule demands."""
    if policy.power_rule == "any":
        return None
    if policy.power_rule != "below_price" and is_solar(state):
        return None
    if policy.power_rule == "solar":
        if is_solar(state) is None:
            return missing_value("whether it charges from solar", "power_rule")
        return refusal("not_solar", "The car is not charging from solar, and you allow work only while it does.")
    price, source = price_micro(policy, state, now)
    limit = policy.price_limit_micro_per_kwh
    if price <= limit:
        return None
    return refusal("price_high", f"A kWh costs {_money(price)} now ({source}); your limit is {_money(limit)}.")


def is_solar(state: VehicleState) -> bool | None:
    """Return whether the car charges from solar power, None if that is not known."""
    if state.charging is False or state.solar is False:
        return False
    return True if state.charging and state.solar else None


def price_micro(policy: Policy, state: VehicleState, now: datetime) -> tuple[float, str]:
    """Return (price of a kWh now in micro-units, its source): the car's or charger's price, else the owner's tariff.

    Where windows of the tariff overlap, the highest price counts. Without a known time zone every window may be open,
    so the highest price of all counts.
    """
    if state.price_micro_per_kwh is not None:
        return state.price_micro_per_kwh, "as the charger says"
    time_zone = clock.zone(policy.time_zone)
    minute = None if time_zone is None else clock.minute_of_week(now.astimezone(time_zone))
    prices = [
        price
        for weekday, start, end, price in policy.tariff_windows
        if minute is None or clock.is_within(minute, weekday, start, end)
    ]
    if minute is None:
        prices.append(policy.tariff_micro_per_kwh)
    return max(prices, default=policy.tariff_micro_per_kwh), "by your tariff"


def _money(micro: float) -> str:
    return f"{micro / 1e6:.4f}"
