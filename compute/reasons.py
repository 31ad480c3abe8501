"""The reasons why a node does not work: codes shared by agent, protocol and portal, each with a sentence for the owner.

`setting` names the field of the owner's policy behind the reason, "" when there is none. Pure: the agent imports this.
"""

from typing import NamedTuple


class Reason(NamedTuple):
    """A sentence for the owner, and the field of the policy that caused it ("" if none)."""

    sentence: str
    setting: str = ""


REASONS = {
    # Given by the server, which offers no work.
    "consent_missing": Reason("You have not decided yet whether this car may run customers' jobs."),
    "consent_refused": Reason("You refused to run customers' jobs on this car."),
    "consent_withdrawn": Reason("You withdrew your consent to run customers' jobs."),
    "consent_expired": Reason("Your consent to run customers' jobs has ended. You can give it again."),
    "consent_outdated": Reason("The text of this consent has changed. Read the new one and decide again."),
    "node_suspended": Reason("We have paused this car's computer."),
    "node_resuming": Reason(
        "It may work again as soon as its program has confirmed after which signed record it continues."
    ),
    "node_retired": Reason("This car's computer has been disconnected for good."),
    "away": Reason("The program in the car has not contacted us for a while."),
    # Given by the car: the owner's rules, evaluated there.
    "paused": Reason("You paused it.", "pause"),
    "finishing": Reason("It finishes what it has begun and then stops, as you asked.", "pause"),
    "outside_schedule": Reason("It is outside your weekly schedule.", "windows"),
    "day_share": Reason("It has used the share of today that you allow.", "day_share_percent"),
    "ready_by": Reason("It is charging for the time at which you want it ready.", "ready_by"),
    "not_plugged_in": Reason("The car is not plugged in, and your rules want it to be.", "plugged_in_only"),
    "charge_low": Reason("The charge is below the level that you want to keep.", "charge_stop_percent"),
    "not_on_wifi": Reason("The car is not on Wi-Fi, and your rules want it to be.", "network"),
    "data_cap": Reason("This month's mobile data is used up.", "data_cap_mb_per_month"),
    "no_network": Reason("The car reports that it has no network.", "network"),
    "price_high": Reason("Electricity costs more now than your limit.", "price_limit_micro_per_kwh"),
    "not_solar": Reason("The car is not charging from solar, and your rules want it to be.", "power_rule"),
    "too_hot": Reason("The computer is hotter than your limit.", "heat_stop_c"),
    # Given by the car, whatever the owner's rules are.
    "driving": Reason("The car is being driven."),
    "car_busy": Reason("The car is busy: with an update, service or preconditioning."),
    "sensor_stale": Reason("The car's readings are too old to trust."),
    "sensor_absurd": Reason("The car's readings make no sense."),
    "sensor_missing": Reason("The car does not report a value that your rules need."),
    "agent_stopped": Reason("The program in the car has been stopped."),
}


def sentence(code: str) -> str:
    """Return the sentence of a code, or one with the code itself for an unknown code."""
    reason = REASONS.get(code)
    if reason:
        return reason.sentence
    return f"Not available: {code}." if code else "Not available."


def setting(code: str) -> str:
    """Return the field of the owner's policy behind a code, or ""."""
    reason = REASONS.get(code)
    return reason.setting if reason else ""


def is_given_by_car(code: str) -> bool:
    """Return whether the car gave this reason (an owner's rule or a state of the car), and not the server."""
    return code in REASONS and code not in ("away", "agent_stopped") and not code.startswith(("consent_", "node_"))
