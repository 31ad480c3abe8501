"""The verdict of the rules, and what they must remember until the next evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from compute import reasons
from compute.agent.sensors.state import VehicleState

# BOINC's rule: after heat or low charge, work resumes after five minutes at the earliest, even if the value is good
# again.
RESUME_AFTER = timedelta(minutes=5)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Latch:
    """The state of a rule that forbids work until its value has reached the resume limit and the wait is over."""

    is_shut: bool = False
    until: datetime = _LONG_AGO

    def after(self, *, stops: bool, resumes: bool, now: datetime) -> Latch:
        """Return the latch after a reading: shut if it ``stops``, open if it ``resumes`` and the wait is over."""
        if stops or (self.is_shut and not resumes):
            return Latch(True, now + RESUME_AFTER)
        # If the clock was set back meanwhile, the wait still lasts RESUME_AFTER at most.
        until = min(self.until, now + RESUME_AFTER)
        return Latch(True, until) if self.is_shut and now < until else Latch()


@dataclass(frozen=True)
class Memory:
    """What one evaluation leaves for the next.

    ``last`` is the last valid reading; impossible jumps are measured from it.
    """

    charge: Latch = Latch()
    heat: Latch = Latch()
    ready: Latch = Latch()
    last: VehicleState | None = None


@dataclass(frozen=True)
class Availability:
    """A verdict: may the car work now?

    ``code`` is "" when it may. ``sentence`` has the values that decided, ``setting`` the owner's rule ("" if none).
    With ``may_finish`` a unit that has begun may end; otherwise it is stopped at once.
    """

    available: bool
    code: str = ""
    sentence: str = ""
    setting: str = ""
    may_finish: bool = False
    memory: Memory = field(default=Memory(), compare=False, repr=False)


READY = Availability(True, "", "Every rule of the owner allows work now.")


@dataclass(frozen=True)
class Usage:
    """Counted usage: mobile data of this month, working time of this local day, and whether a unit has begun."""

    mobile_bytes: int = 0
    work_s: float = 0.0
    is_working: bool = False


def refusal(code: str, sentence: str, *, setting: str | None = None) -> Availability:
    """Return a refusal. Its setting is the one that `compute.reasons` names, unless ``setting`` is given."""
    return Availability(False, code, sentence, reasons.setting(code) if setting is None else setting)


def missing_value(what: str, setting: str) -> Availability:
    """Return the refusal for a value that a rule needs and the car does not report: unknown never counts as yes."""
    why = "your rules need it" if setting else "work is not possible without it"
    return refusal("sensor_missing", f"The car does not report {what}, and {why}.", setting=setting)
