"""The owner's rules, evaluated on the vehicle: may this car work now? Pure: no clock, no files, no network.

A rule that needs a value which the car does not report forbids work: unknown never counts as yes. The rules on charge,
heat and ready-by have two limits (stop and resume) and a waiting time, so that a value near a limit does not switch
work on and off repeatedly.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from compute.agent.policy import readings, rules
from compute.agent.policy.power import power
from compute.agent.policy.readings import STALE_AFTER
from compute.agent.policy.verdict import READY, Availability, Latch, Memory, Usage
from compute.agent.sensors.state import VehicleState
from compute.protocol import Policy

__all__ = ["READY", "STALE_AFTER", "Availability", "Memory", "Usage", "evaluate"]
_NOTHING_COUNTED = Usage()


def evaluate(
    policy: Policy, state: VehicleState, now: datetime, previous: Availability, usage: Usage = _NOTHING_COUNTED
) -> Availability:
    """Return the verdict of the first rule that forbids work, or READY.

    ``now`` is an aware datetime; ``previous`` is the last verdict, READY at first. The latches are updated at every
    call, also when another rule decides: a low charge is remembered even while the car is being driven.
    """
    memory = previous.memory
    if fault := readings.unfit(state, now, memory.last):
        return replace(fault, memory=memory)
    memory = _updated_memory(policy, state, now, memory)
    verdict = (
        readings.in_use(state)
        or rules.paused(policy, now)
        or rules.schedule(policy, now)
        or rules.day_share(policy, now, usage)
        or rules.plug(policy, state)
        or rules.ready_by(policy, state, now, memory)
        or rules.charge(policy, state, memory)
        or rules.network(policy, state, usage)
        or power(policy, state, now)
        or rules.heat(policy, state, memory)
        or rules.finishing(policy, now, usage)
        or READY
    )
    return replace(verdict, memory=memory)


def _updated_memory(policy: Policy, state: VehicleState, now: datetime, memory: Memory) -> Memory:
    return Memory(
        charge=_charge(policy, state, now, memory.charge),
        heat=_heat(policy, state, now, memory.heat),
        ready=_ready(policy, state, now, memory.ready),
        last=state,
    )


def _charge(policy: Policy, state: VehicleState, now: datetime, latch: Latch) -> Latch:
    if (percent := state.charge_percent) is None:
        return latch
    stops, resumes = percent < policy.charge_stop_percent, percent >= rules.resume_percent(policy)
    return latch.after(stops=stops, resumes=resumes, now=now)


def _heat(policy: Policy, state: VehicleState, now: datetime, latch: Latch) -> Latch:
    if (heat := state.temperature_c) is None:
        return latch
    return latch.after(stops=heat > policy.heat_stop_c, resumes=heat <= rules.resume_c(policy), now=now)


def _ready(policy: Policy, state: VehicleState, now: datetime, latch: Latch) -> Latch:
    """Return the latch of the ready-by rule. It is open outside the lead time, so its wait ends with that time."""
    if state.charge_percent is None or rules.ready_due(policy, now) is None:
        return Latch()
    is_short = state.charge_percent < policy.ready_by_percent
    return latch.after(stops=is_short, resumes=not is_short, now=now)
