"""The file `status.json`: the agent's present state, for `driveway-agent status`, the demo and the tests."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from compute.agent.energy import METHOD_SENTENCES
from compute.agent.policy.judge import Judge
from compute.agent.policy.rules import day_allowance_s
from compute.agent.state.errors import AgentError
from compute.agent.state.files import write_atomic
from compute.agent.state.store import Store
from compute.agent.state.version import AGENT_VERSION
from compute.agent.work.leases import HeldLease
from compute.agent.work.workload import Workload

STATUS_FILE = "status.json"
State = Literal["idle", "running", "unavailable", "withheld", "offline", "stopped"]
_REFRESH_MS = 10_000


@dataclass(frozen=True)
class StateReason:
    """The state of the agent and its reason: a code, a sentence with the values, the owner's setting ("" if none)."""

    state: State
    code: str = ""
    sentence: str = ""
    setting: str = ""


class Running(msgspec.Struct, frozen=True):
    attempt: int
    fence: int
    started_unix_ms: int


class Counters(msgspec.Struct, frozen=True):
    """Sums over all meter records that this vehicle has signed, also before a restart."""

    ok: int = 0
    error: int = 0
    cancelled: int = 0
    compute_ms: int = 0
    energy_mwh: int = 0


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """Use that counts towards the owner's caps. A cap of 0 means that there is no cap."""

    month: str = ""
    mobile_sent_bytes: int = 0
    mobile_received_bytes: int = 0
    mobile_cap_bytes: int = 0
    day: str = ""
    work_ms: int = 0
    work_cap_ms: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `status.json`. Times are Unix milliseconds, 0 for never.

    `running` is the unit that started first, null if none. `setting` names the owner's rule behind `reason`. `sensors`
    is the source of the readings and `sensed_unix_ms` the time of the last one; the readings themselves are left out.
    """

    node: str
    pid: int
    state: State
    reason: str
    sentence: str
    setting: str = ""
    carrier: str
    withheld: str
    running: Running | None
    running_count: int
    queued: int
    unacknowledged: int
    last_compute_unix_ms: int
    counters: Counters
    energy_method: str
    layers: tuple[str, ...]
    agent_version: str
    policy_version: int = 0
    usage: Caps = Caps()
    sensors: str = ""
    sensed_unix_ms: int = 0
    updated_unix_ms: int = 0


class Publisher:
    """Writes `status.json`: at once when the state changes, every 10 s when only usage and times have changed."""

    def __init__(self, state: Path, *, node: str, store: Store, layers: tuple[str, ...], energy_method: str) -> None:
        self._path = state / STATUS_FILE
        self._node, self._store, self._layers, self._energy_method = node, store, layers, energy_method
        self._last: Status | None = None
        self._written_ms = 0

    def publish(self, work: Workload, saying: StateReason, judge: Judge, *, withheld: str, carrier: str) -> None:
        """Write the state to the file if it has changed or if the file is older than 10 s."""
        running, totals = work.running(), self._store.totals()
        status = Status(
            node=self._node,
            pid=os.getpid(),
            state=saying.state,
            reason=saying.code,
            sentence=saying.sentence,
            setting=saying.setting,
            carrier=carrier,
            withheld=withheld,
            running=_running(running[0]) if running else None,
            running_count=len(running),
            queued=len(work) - len(running),
            unacknowledged=self._store.unacknowledged_count(),
            last_compute_unix_ms=work.last_compute_unix_ms,
            counters=Counters(**asdict(totals)),
            energy_method=self._energy_method,
            layers=self._layers,
            agent_version=AGENT_VERSION,
            policy_version=judge.policy.version,
            sensors=judge.source,
        )
        now_ms = time.time_ns() // 1_000_000
        if status == self._last and now_ms - self._written_ms < _REFRESH_MS:
            return
        self._last, self._written_ms = status, now_ms
        stamped = msgspec.structs.replace(
            status,
            usage=_caps(judge),
            sensed_unix_ms=max(0, int(judge.reading.at.timestamp() * 1000)),
            updated_unix_ms=now_ms,
        )
        write_atomic(self._path, msgspec.json.format(msgspec.json.encode(stamped)) + b"\n")


def _caps(judge: Judge) -> Caps:
    policy, figures = judge.policy, judge.figures
    is_capped, has_share = policy.network == "capped", policy.day_share_percent < 100
    return Caps(
        month=figures.month,
        mobile_sent_bytes=figures.sent_bytes,
        mobile_received_bytes=figures.received_bytes,
        mobile_cap_bytes=policy.data_cap_mb_per_month * 10**6 if is_capped else 0,
        day=figures.day,
        work_ms=figures.work_ms,
        work_cap_ms=round(day_allowance_s(policy, datetime.now(UTC)) * 1000) if has_share else 0,
    )


def _running(held: HeldLease) -> Running:
    return Running(held.lease.attempt, held.lease.fence, held.started_unix_ms)


def read_status(state: Path) -> Status:
    """Return the last status written in the folder ``state``. Raise AgentError (never_ran, status_invalid)."""
    path = state / STATUS_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except FileNotFoundError as error:
        raise AgentError("never_ran", f"No agent has run on {state} yet.") from error
    except msgspec.DecodeError as error:
        raise AgentError("status_invalid", f"{path} cannot be read: {error}") from error


def status_summary(status: Status, *, is_running: bool) -> str:
    """Return the status as a few lines of text for people."""
    lines = [f"Vehicle {status.node}: {status.state if is_running else 'the agent is not running'}"]
    lines += _reason_lines(status)
    if is_running and status.running is not None:
        lines.append(f"  Running attempt {status.running.attempt}; {status.queued} more in hand.")
    totals = status.counters
    lines += [
        f"  Link: {status.carrier if is_running else 'none'}; {status.unacknowledged} reports unanswered.",
        f"  Sensors: {status.sensors or 'unknown'}, {_reading_age(status)}.",
        *_usage_lines(status.usage),
        f"  Units: {totals.ok} done, {totals.error} failed, {totals.cancelled} cancelled.",
        f"  Compute: {totals.compute_ms / 1000:.1f} s; energy: {totals.energy_mwh / 1000:.3f} Wh.",
        f"  Energy is {METHOD_SENTENCES.get(status.energy_method, status.energy_method)} [{status.energy_method}].",
        f"  Sandbox: {', '.join(status.layers)}.",
    ]
    return "\n".join(lines)


def _reason_lines(status: Status) -> list[str]:
    code = f" [{status.reason}]" if status.reason else ""
    lines = [f"  {status.sentence}{code}"] if status.sentence else []
    if status.setting:
        lines.append(f"  Because of your setting {status.setting} (version {status.policy_version} of your rules).")
    return lines


def _reading_age(status: Status) -> str:
    if not status.sensed_unix_ms:
        return "no reading"
    return f"last reading {max(0, status.updated_unix_ms - status.sensed_unix_ms) / 1000:.0f} s old"


def _usage_lines(usage: Caps) -> list[str]:
    if not usage.month:
        return []
    mobile_mb = (usage.mobile_sent_bytes + usage.mobile_received_bytes) / 10**6
    cap = f" of {usage.mobile_cap_bytes / 10**6:.0f} MB" if usage.mobile_cap_bytes else ""
    share = f" of {usage.work_cap_ms / 3_600_000:.2f} h" if usage.work_cap_ms else ""
    return [
        f"  Mobile data in {usage.month}: {mobile_mb:.2f} MB{cap}"
        f" ({usage.mobile_sent_bytes / 10**6:.2f} sent, {usage.mobile_received_bytes / 10**6:.2f} received).",
        f"  Work on {usage.day}: {usage.work_ms / 3_600_000:.2f} h{share}.",
    ]
