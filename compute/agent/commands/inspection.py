"""Take one reading of the car and evaluate the owner's rules on it: a check for the installer of the sensors."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from compute.agent.commands.enrolment import load_enrolment
from compute.agent.policy import READY, evaluate
from compute.agent.sensors import Sensors, VehicleState, open_sensors
from compute.agent.state.errors import AgentError
from compute.agent.state.store import STORE_FILE, Store
from compute.protocol import Policy

_POLL_S = 0.05
_UNTRUSTED = ("sensor_stale", "sensor_absurd")


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `inspect`.

    `reading` has every field of a reading, null for a value that the car does not report.
    """

    sensors: str
    reading: dict[str, Any]
    available: bool
    reason: str
    sentence: str
    setting: str
    policy_version: int

    @property
    def is_trusted(self) -> bool:
        return self.reason not in _UNTRUSTED

    def in_words(self) -> str:
        """Return the result as a few lines of text."""
        lines = [f"Sensors: {self.sensors}"]
        lines += [f"  {name:<20} {_as_text(value)}" for name, value in self.reading.items() if value != ""]
        code = f" [{self.reason}]" if self.reason else ""
        lines.append(f"{'May work' if self.available else 'May not work'}: {self.sentence}{code}")
        if self.setting:
            lines.append(f"  Because of the setting {self.setting} (version {self.policy_version} of the rules).")
        return "\n".join(lines)


def inspect(*, state: Path, sensors: str, within_s: float) -> Inspection:
    """Wait up to ``within_s`` seconds for a reading that can be trusted. Return the last reading and its verdict.

    An empty ``sensors`` means those of the enrolment. The rules are the agent's last ones, those of the enrolment, or
    the default ones. Raise AgentError.
    """
    source, policy = open_sensors(sensors or load_enrolment(state).sensors, state), _policy(state)
    try:
        reading = _first_reading(source, policy, within_s)
        verdict = evaluate(policy, reading, datetime.now(UTC), READY)
    finally:
        source.close()
    return Inspection(
        sensors=source.source,
        reading=asdict(reading),
        available=verdict.available,
        reason=verdict.code,
        sentence=verdict.sentence,
        setting=verdict.setting,
        policy_version=policy.version,
    )


def _policy(state: Path) -> Policy:
    """Return the agent's last rules, else those of the enrolment, else the default ones."""
    if (state / STORE_FILE).exists():
        with contextlib.closing(Store(state)) as store:
            if (policy := store.policy()) is not None:
                return policy
    with contextlib.suppress(AgentError):
        return load_enrolment(state).policy
    return Policy(version=0)


def _first_reading(source: Sensors, policy: Policy, within_s: float) -> VehicleState:
    deadline = time.monotonic() + within_s
    while True:
        reading = source()
        code = evaluate(policy, reading, datetime.now(UTC), READY).code
        if code not in _UNTRUSTED or time.monotonic() >= deadline:
            return reading
        time.sleep(_POLL_S)


def _as_text(value: object) -> str:
    if value is None:
        return "(the car does not say)"
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else str(value)
