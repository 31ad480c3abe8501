"""Turn one execution into a signed, numbered and chained meter record, with its report."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from compute import protocol
from compute.agent.energy import Method, round_half_up, to_mwh
from compute.agent.state.identity import Identity
from compute.agent.state.store import MeterSlot, SignedRecord, Store
from compute.agent.state.version import AGENT_VERSION
from compute.protocol import Lease, MeterPayload, Report

COMPUTE_METHOD = "cpu_time"
Outcome = Literal["ok", "error", "cancelled"]


@dataclass(frozen=True)
class EndedLease:
    """The end of one lease. ``energy_uwh`` is in microwatt-hours, ``cpu_us`` in microseconds of processor time."""

    outcome: Outcome
    code: str = ""
    result: bytes = b""
    started_unix_ms: int = 0
    ended_unix_ms: int = 0
    cpu_us: int = 0
    energy_uwh: int = 0
    energy_method: Method = "model"


class Recorder:
    """Signs one record for each ended lease and stores it durably."""

    def __init__(self, *, node: str, identity: Identity, store: Store, layers: tuple[str, ...]) -> None:
        self._node = node
        self._identity = identity
        self._store = store
        self._layers = layers

    def record(self, lease: Lease, done: EndedLease) -> Report:
        """Return the report; it is on disk by then. A result above the inline limit must have been uploaded before."""
        return self._store.add_record(lambda slot: self._build(slot, lease, done))

    def _build(self, slot: MeterSlot, lease: Lease, done: EndedLease) -> SignedRecord:
        energy_mwh, carry_uwh = to_mwh(done.energy_uwh, slot.energy_carry_uwh)
        payload = MeterPayload(
            v=protocol.VERSION,
            node=self._node,
            seq=slot.seq,
            prev=slot.prev,
            attempt=lease.attempt,
            fence=lease.fence,
            model=lease.model_sha256,
            input=lease.input_sha256,
            output=hashlib.sha256(done.result).hexdigest() if done.outcome == "ok" else "",
            items=lease.items,
            outcome=done.outcome,
            started_unix_ms=done.started_unix_ms,
            ended_unix_ms=done.ended_unix_ms,
            compute_ms=round_half_up(done.cpu_us, 1000),
            compute_method=COMPUTE_METHOD,
            energy_mwh=energy_mwh,
            energy_method=done.energy_method,
            agent=AGENT_VERSION,
            layers=self._layers,
        )
        record = protocol.meter_bytes(payload)
        inline = done.outcome == "ok" and len(done.result) <= protocol.INLINE_RESULT_MAX_BYTES
        report = Report(
            attempt=lease.attempt,
            fence=lease.fence,
            outcome=done.outcome,
            record=record,
            signature=self._identity.sign_record(record),
            code=done.code,
            result=done.result if inline else b"",
        )
        return SignedRecord(report, carry_uwh)
