"""`status.json`: what the agent does now, for `driveway-agent status`, the demo and the tests."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import msgspec

from compute.agent.errors import AgentError
from compute.agent.files import write_atomic
from compute.agent.leases import Held
from compute.agent.store import Store
from compute.agent.version import AGENT_VERSION
from compute.agent.workload import Workload

STATUS_FILE = "status.json"
State = Literal["idle", "running", "unavailable", "withheld", "offline", "stopped"]

_WITHHELD = {
    "consent_refused": "The owner has refused consent for this vehicle, so it is offered no work.",
    "consent_withdrawn": "The owner has withdrawn consent for this vehicle, so it is offered no work.",
    "consent_missing": "The owner has not yet given consent for this vehicle, so it is offered no work.",
    "consent_expired": "The owner's consent for this vehicle has expired, so it is offered no work.",
    "node_suspended": "The marketplace has suspended this vehicle, so it is offered no work.",
    "node_retired": "This vehicle was removed from the marketplace.",
}


class Running(msgspec.Struct, frozen=True):
    attempt: int
    fence: int
    started_unix_ms: int


class Counters(msgspec.Struct, frozen=True):
    """Sums over every record this vehicle has signed, also before a restart."""

    ok: int = 0
    error: int = 0
    cancelled: int = 0
    compute_ms: int = 0
    energy_mwh: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`running` is the unit that started first, null if none. Times are Unix milliseconds, 0 for never."""

    node: str
    pid: int
    state: State
    reason: str
    sentence: str
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
    updated_unix_ms: int = 0


class Publisher:
    """Writes only when something other than the time has changed."""

    def __init__(self, state: Path, *, node: str, store: Store, layers: tuple[str, ...], energy_method: str) -> None:
        self._path = state / STATUS_FILE
        self._node, self._store, self._layers, self._energy_method = node, store, layers, energy_method
        self._last: Status | None = None

    def publish(self, work: Workload, *, state: State, reason: str, sentence: str, withheld: str, carrier: str) -> None:
        running, totals = work.running(), self._store.totals()
        status = Status(
            node=self._node, pid=os.getpid(), state=state, reason=reason, sentence=sentence, carrier=carrier,
            withheld=withheld, running=_running(running[0]) if running else None, running_count=len(running),
            queued=len(work) - len(running), unacknowledged=self._store.unacknowledged_count(),
            last_compute_unix_ms=work.last_compute_unix_ms,
            counters=Counters(**asdict(totals)), energy_method=self._energy_method,
            layers=self._layers, agent_version=AGENT_VERSION,
        )  # fmt: skip
        if status == self._last:
            return
        self._last = status
        stamped = msgspec.structs.replace(status, updated_unix_ms=time.time_ns() // 1_000_000)
        write_atomic(self._path, msgspec.json.format(msgspec.json.encode(stamped)) + b"\n")


def _running(held: Held) -> Running:
    return Running(held.lease.attempt, held.lease.fence, held.started_unix_ms)


def read_status(state: Path) -> Status:
    """Raises AgentError (never_ran, status_invalid)."""
    path = state / STATUS_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except FileNotFoundError as error:
        raise AgentError("never_ran", f"No agent has run on {state} yet.") from error
    except msgspec.DecodeError as error:
        raise AgentError("status_invalid", f"{path} cannot be read: {error}") from error


def withheld_sentence(code: str) -> str:
    return _WITHHELD.get(code, f"The marketplace offers this vehicle no work ({code}).")


def in_words(status: Status, *, is_running: bool) -> str:
    """A few lines for people."""
    lines = [f"Vehicle {status.node}: {status.state if is_running else 'the agent is not running'}"]
    if status.sentence:
        lines.append(f"  {status.sentence}")
    if is_running and status.running is not None:
        lines.append(f"  Running attempt {status.running.attempt}; {status.queued} more in hand.")
    sums = status.counters
    lines += [
        f"  Link: {status.carrier if is_running else 'none'}; {status.unacknowledged} reports unanswered.",
        f"  Units: {sums.ok} done, {sums.error} failed, {sums.cancelled} cancelled.",
        f"  Compute: {sums.compute_ms / 1000:.1f} s; energy: {sums.energy_mwh / 1000:.3f} Wh"
        f" ({'measured' if status.energy_method == 'rapl' else 'modelled'}).",
        f"  Sandbox: {', '.join(status.layers)}.",
    ]
    return "\n".join(lines)
