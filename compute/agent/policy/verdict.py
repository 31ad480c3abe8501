"""What the rules say, and what they need to remember until they are asked again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from compute import reasons
from compute.agent.sensors.state import VehicleState

# BOINC's rule: after heat or low charge, at least five minutes before work resumes, also when the reading is well again.
RESUME_AFTER = timedelta(minutes=5)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Latch:
    """A rule that says no until its reading has passed the resume mark and the wait is over."""

    is_shut: bool = False
    until: datetime = _LONG_AGO

    def after(self, *, stops: bool, resumes: bool, now: datetime) -> Latch:
        """Shut when the reading ``stops``; open again when it ``resumes`` and the wait is over."""
        if stops or (self.is_shut and not resumes):
            return Latch(True, now + RESUME_AFTER)
        # The clock may have been set back meanwhile.
        until = min(self.until, now + RESUME_AFTER)
        return Latch(True, until) if self.is_shut and now < until else Latch()


@dataclass(frozen=True)
class Memory:
    """``last`` is the last reading that made sense; an impossible jump is measured from it."""

    charge: Latch = Latch()
    heat: Latch = Latch()
    ready: Latch = Latch()
    last: VehicleState | None = None


@dataclass(frozen=True)
class Availability:
    """``code`` is "" when available. ``sentence`` has the values that decided, ``setting`` the owner's rule ("" if none).

    With ``may_finish`` the unit that runs now may end in peace; otherwise it stops at once.
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
    """What the agent has counted: mobile data of this month, work of this local day; and whether it works now."""

    mobile_bytes: int = 0
    work_s: float = 0.0
    is_working: bool = False


def no(code: str, sentence: str, *, setting: str | None = None) -> Availability:
    """A refusal; the setting is the one that `compute.reasons` names, unless another one decided."""
    return Availability(False, code, sentence, reasons.setting(code) if setting is None else setting)


def missing(what: str, setting: str) -> Availability:
    """The car does not say what a rule needs to know: unknown is never yes."""
    why = "your rules need it" if setting else "without it there is no work"
    return no("sensor_missing", f"The car does not say {what}, and {why}.", setting=setting)
