"""The owner's rules on time, plug, charge, heat and network. Each function returns a refusal, or None."""

from __future__ import annotations

from datetime import UTC, datetime

from compute.agent.policy.verdict import Availability, Memory, Usage, missing_value, refusal
from compute.agent.sensors.state import VehicleState
from compute.agent.state import clock
from compute.protocol import Policy

_MEGABYTE = 10**6


def paused(policy: Policy, now: datetime) -> Availability | None:
    """Refuse all work while the pause "stop" lasts."""
    if policy.pause != "stop" or not _is_paused(policy, now):
        return None
    return refusal("paused", f"You paused it {_until(policy)}.")


def finishing(policy: Policy, now: datetime, usage: Usage) -> Availability | None:
    """Refuse new work while the pause "finish" lasts; a unit that has begun may end."""
    if policy.pause != "finish" or not _is_paused(policy, now):
        return None
    if not usage.is_working:
        return refusal("paused", f"It has finished what it had begun, and is paused {_until(policy)}.")
    sentence = f"It finishes what it has begun, and then is paused {_until(policy)}."
    return Availability(False, "finishing", sentence, "pause", may_finish=True)


def _is_paused(policy: Policy, now: datetime) -> bool:
    until = policy.paused_until_unix_ms
    return not until or now.timestamp() * 1000 < until


def _until(policy: Policy) -> str:
    if not policy.paused_until_unix_ms:
        return "until further notice"
    try:
        at = datetime.fromtimestamp(policy.paused_until_unix_ms / 1000, UTC)
        local = at.astimezone(clock.zone_or_utc(policy.time_zone))
    except (ValueError, OverflowError, OSError):
        return "until further notice"
    return f"until {local.isoformat(sep=' ', timespec='minutes')}"


def schedule(policy: Policy, now: datetime) -> Availability | None:
    """Refuse work outside the windows of the weekly schedule, and with an unknown time zone."""
    if not policy.windows:
        return None
    time_zone = clock.zone(policy.time_zone)
    if time_zone is None:
        return refusal("outside_schedule", f'The schedule names an unknown time zone, "{policy.time_zone}".')
    local = now.astimezone(time_zone)
    if any(clock.is_within(clock.minute_of_week(local), *window) for window in policy.windows):
        return None
    return refusal("outside_schedule", f"It is {local:%A %H:%M} ({policy.time_zone}), outside your weekly schedule.")


def day_share(policy: Policy, now: datetime, usage: Usage) -> Availability | None:
    """Refuse work when today's share of working time is used up."""
    if policy.day_share_percent >= 100:
        return None
    allowed_s = day_allowance_s(policy, now)
    if usage.work_s < allowed_s:
        return None
    worked, most = usage.work_s / 3600, allowed_s / 3600
    return refusal(
        "day_share", f"It has worked {worked:.2f} h today; {policy.day_share_percent} % of the day is {most:.2f} h."
    )


def day_allowance_s(policy: Policy, now: datetime) -> float:
    """Return how many seconds of this local day the owner allows for work."""
    time_zone = clock.zone_or_utc(policy.time_zone)
    length = clock.day_length(now.astimezone(time_zone).date(), time_zone)
    return length.total_seconds() * max(0, min(policy.day_share_percent, 100)) / 100


def ready_by(policy: Policy, state: VehicleState, now: datetime, memory: Memory) -> Availability | None:
    """Refuse work before a ready-by time until the battery has the charge that the owner wants by then."""
    due = ready_due(policy, now)
    if due is None:
        return None
    if state.charge_percent is None:
        return missing_value("how full its battery is", "ready_by")
    if not memory.ready.is_shut:
        return None
    wanted = f"{policy.ready_by_percent} % by {due:%A %H:%M}"
    if state.charge_percent >= policy.ready_by_percent:
        return refusal(
            "ready_by", f"The battery has just reached {state.charge_percent:g} % (goal: {wanted}); work resumes soon."
        )
    return refusal("ready_by", f"The battery is at {state.charge_percent:g} %, and you want {wanted}.")


def ready_due(policy: Policy, now: datetime) -> datetime | None:
    """Return the next ready-by time if ``now`` is within its lead time, else None."""
    if not policy.ready_by:
        return None
    time_zone = clock.zone_or_utc(policy.time_zone)
    return clock.next_occurrence(policy.ready_by, now, time_zone, policy.ready_by_lead_minutes)


def plug(policy: Policy, state: VehicleState) -> Availability | None:
    """Refuse work while the car is not plugged in, if the owner wants that."""
    if state.plugged_in or not policy.plugged_in_only:
        return None
    if state.plugged_in is None:
        return missing_value("whether it is plugged in", "plugged_in_only")
    return refusal("not_plugged_in", "The car is not plugged in, and you allow work only while plugged in.")


def charge(policy: Policy, state: VehicleState, memory: Memory) -> Availability | None:
    """Refuse work from a charge below the stop limit until the resume limit is reached and the wait is over."""
    if state.charge_percent is None:
        return (
            missing_value("how full its battery is", "charge_stop_percent") if policy.charge_stop_percent > 0 else None
        )
    if not memory.charge.is_shut:
        return None
    now_at, resume = f"The battery is at {state.charge_percent:g} %", resume_percent(policy)
    if state.charge_percent < policy.charge_stop_percent:
        return refusal("charge_low", f"{now_at}, below the {policy.charge_stop_percent} % that you want to keep.")
    if state.charge_percent < resume:
        return refusal("charge_low", f"{now_at}; it resumes at {resume} %.", setting="charge_resume_percent")
    return refusal("charge_low", f"{now_at} again; {_wait(memory.charge.until)}.", setting="charge_resume_percent")


def heat(policy: Policy, state: VehicleState, memory: Memory) -> Availability | None:
    """Refuse work from a temperature above the stop limit until the resume limit is reached and the wait is over."""
    if state.temperature_c is None:
        return missing_value("how hot it is", "heat_stop_c")
    if not memory.heat.is_shut:
        return None
    now_at, resume = f"It is {state.temperature_c:g} °C", resume_c(policy)
    if state.temperature_c > policy.heat_stop_c:
        return refusal("too_hot", f"{now_at}, above your limit of {policy.heat_stop_c} °C.")
    if state.temperature_c > resume:
        return refusal("too_hot", f"{now_at}; it resumes at {resume} °C.", setting="heat_resume_c")
    return refusal("too_hot", f"{now_at} again; {_wait(memory.heat.until)}.", setting="heat_resume_c")


def resume_percent(policy: Policy) -> int:
    """Return the charge at which work resumes, never below the one at which it stops."""
    return max(policy.charge_resume_percent, policy.charge_stop_percent)


def resume_c(policy: Policy) -> int:
    """Return the temperature at which work resumes, never above the one at which it stops."""
    return min(policy.heat_resume_c, policy.heat_stop_c)


def _wait(until: datetime) -> str:
    return f"it waits until {until:%H:%M:%S} UTC before it resumes"


def network(policy: Policy, state: VehicleState, usage: Usage) -> Availability | None:
    """Refuse work without a network, on a network that the owner forbids, and beyond the monthly data cap."""
    if state.network in ("wifi", "ethernet"):
        return None
    if state.network == "none":
        return refusal("no_network", "The car reports that it has no network.")
    if policy.network == "any":
        return None
    if state.network is None:
        return missing_value("which network it is on", "network")
    if policy.network == "wifi":
        return refusal("not_on_wifi", f'The car is on "{state.network}", and you allow work only on Wi-Fi or a cable.')
    cap = policy.data_cap_mb_per_month
    if usage.mobile_bytes < cap * _MEGABYTE:
        return None
    used = usage.mobile_bytes / _MEGABYTE
    return refusal("data_cap", f"It has used {used:.1f} MB of mobile data this month; your cap is {cap} MB.")
