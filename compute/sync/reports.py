"""Nodes' reports: verify and store the signed meter records, and conclude the attempts.

Set-based, except signatures.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from compute import protocol, tensors
from compute.nodes import limits
from compute.reasons import is_given_by_car
from compute.sync import conflicts as meter_conflicts
from compute.sync.conflicts import RepeatedRecord
from core.db import execute_batch, from_jsonb, insert_batch
from core.errors import InvalidInput

ATTEMPTS = """
SELECT a.id, a.node_id, a.fence, a.status, a.status_code, a.result_sha256, u.items, u.input_sha256, m.sha256, m.outputs,
       n.cores, (extract(epoch FROM clock_timestamp() - a.leased_at) * 1000)::bigint,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint
  FROM compute_attempt a
  JOIN compute_node n ON n.id = a.node_id
  JOIN compute_workunit u ON u.id = a.unit_id
  JOIN compute_inferencejob j ON j.id = a.job_id
  JOIN compute_modelartifact m ON m.id = j.artifact_id
 WHERE a.id = ANY(%b::bigint[])
 ORDER BY a.id
   FOR UPDATE OF a
"""

METER_COLUMNS = {
    "node_id": "bigint",
    "attempt_id": "bigint",
    "seq": "bigint",
    "prev_hash": "text",
    "hash": "text",
    "record": "bytea",
    "signature": "bytea",
    "outcome": "text",
    "compute_ms": "bigint",
    "energy_mwh": "bigint",
    "energy_method": "text",
    "output_sha256": "text",
}

CONCLUDE = """
UPDATE compute_attempt a
   SET status = r.status, status_code = r.code, result_sha256 = r.sha256, result = r.result, reported_at = now(),
       ended_at = CASE WHEN r.status = 'reported' THEN NULL ELSE now() END, cancel_sent_at = now()
  FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::text[], %b::bytea[]) AS r(id, status, code, sha256, result)
 WHERE a.id = r.id AND a.status = 'leased'
"""

# Allowed dates of a record, by the platform's clock. Other metering services use the same bounds (docs/metering.md).
OLDEST_MS = int(timedelta(days=35).total_seconds() * 1000)
AHEAD_MS = int(timedelta(minutes=5).total_seconds() * 1000)

HEADS = """
UPDATE compute_nodepresence p SET meter_seq = h.seq, meter_hash = h.hash
  FROM unnest(%b::bigint[], %b::bigint[], %b::text[]) AS h(id, seq, hash) WHERE p.node_id = h.id
"""


@dataclass
class Reporter:
    """The node of a report: identity, public key, and the head of its meter chain, which `record` advances."""

    id: int
    public_id: UUID
    public_key: str
    meter_seq: int
    meter_hash: str


@dataclass(frozen=True)
class AttemptRow:
    """An attempt with the data against which its report is checked."""

    id: int
    node_id: int
    fence: int
    status: str
    status_code: str
    result_sha256: str
    items: int
    input_sha256: str
    model_sha256: str
    outputs: Any
    cores: int
    held_ms: int  # since it was leased, by the platform's clock
    now_unix_ms: int


@dataclass
class Batch:
    """The changes that one transaction will write."""

    meters: list[tuple[Any, ...]] = field(default_factory=list)
    concluded: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    advanced: dict[int, Reporter] = field(default_factory=dict)
    repeated: list[tuple[protocol.Report, RepeatedRecord]] = field(default_factory=list)


Reports = Sequence[tuple[Reporter, protocol.Report]]


def record(reported: Reports) -> dict[tuple[int, int], protocol.Ack]:
    """Check and write reports, in the order of each node's chain. Return the acks by (node id, attempt id).

    The caller holds the transaction and the locks on the nodes' presence rows. Codes of refusal: `record_invalid`,
    `signature_invalid`, `meter_gap`, `meter_conflict`, `foreign_attempt`, `stale_fence`, `record_mismatch`,
    `record_dated`, `record_impossible`, `result_missing`, `result_too_large`, `result_mismatch`, `result_shape`,
    `result_unreadable`, or the code with which the attempt was cancelled. A refusal is final: the agent deletes the
    report.
    """
    if not reported:
        return {}
    rows = _attempts([report.attempt for _, report in reported])
    batch, acks, checked = Batch(), {}, []
    for reporter, report in reported:
        try:
            checked.append((reporter, report, _check_record(reporter, report)))
        except InvalidInput as error:
            acks[reporter.id, report.attempt] = _ack(report, "refused", error.code)
    for reporter, report, payload in sorted(checked, key=lambda each: each[2].seq):
        ack = _accept(batch, reporter, report, payload, rows.get(report.attempt))
        if ack is not None:
            acks[reporter.id, report.attempt] = ack
    _write(batch)
    verdicts = meter_conflicts.judge([repeated for _, repeated in batch.repeated])
    for (report, repeated), verdict in zip(batch.repeated, verdicts, strict=True):
        status, code = ("duplicate", "") if verdict == "duplicate" else ("refused", verdict)
        acks[repeated.node_id, report.attempt] = _ack(report, status, code)
    return acks


def _check_record(reporter: Reporter, report: protocol.Report) -> protocol.MeterPayload:
    """Return the payload of a record that this node signed. Raise InvalidInput."""
    if len(report.record) > limits.RECORD_MAX_BYTES:
        raise InvalidInput("The meter record is too large.", code="record_invalid")
    try:
        payload = protocol.unpack_meter(report.record)
        _public_key(reporter.public_key).verify(protocol.signed_bytes(report.record), report.signature)
    except msgspec.DecodeError as error:
        raise InvalidInput("The meter record cannot be read.", code="record_invalid") from error
    except (BadSignatureError, ValueError) as error:
        raise InvalidInput("The meter record is not signed by this node.", code="signature_invalid") from error
    if payload.node != str(reporter.public_id) or not limits.meter_fits(payload):
        raise InvalidInput("The meter record belongs to another node or is out of range.", code="record_invalid")
    return payload


def _accept(
    batch: Batch, reporter: Reporter, report: protocol.Report, payload: protocol.MeterPayload, row: AttemptRow | None
) -> protocol.Ack | None:
    """Add a report to the batch and return its ack; None for a used number, which `conflicts.judge` decides later."""
    digest = protocol.meter_hash(report.record)
    if payload.seq <= reporter.meter_seq:
        repeated = RepeatedRecord(reporter.id, payload.seq, digest, report.record, report.signature)
        batch.repeated.append((report, repeated))
        return None
    if payload.seq != reporter.meter_seq + 1 or payload.prev != reporter.meter_hash:
        return _ack(report, "refused", "meter_gap")
    is_its_own = row is not None and row.node_id == reporter.id
    is_about_it = (payload.attempt, payload.fence, payload.outcome) == (report.attempt, report.fence, report.outcome)
    # The record is signed and continues the chain. It is stored as evidence whatever happens to the attempt.
    _keep(batch, reporter, report, payload, digest, report.attempt if is_its_own and is_about_it else None)
    if row is None or not is_its_own:
        return _ack(report, "refused", "foreign_attempt")
    if not is_about_it:
        return _ack(report, "refused", "record_invalid")
    if row.fence != report.fence or row.status != "leased" or row.id in batch.concluded:
        code = row.status_code if row.fence == report.fence and row.status == "cancelled" else "stale_fence"
        return _ack(report, "refused", code)
    status, code, output = _conclusion(report, payload, row)
    batch.concluded[row.id] = (row.id, status, code, output, report.result or None)
    return _ack(report, "accepted" if status == "reported" or report.outcome != "ok" else "refused", code)


def _keep(
    batch: Batch,
    reporter: Reporter,
    report: protocol.Report,
    payload: protocol.MeterPayload,
    digest: str,
    attempt: int | None,
) -> None:
    reporter.meter_seq, reporter.meter_hash = payload.seq, digest
    batch.advanced[reporter.id] = reporter
    batch.meters.append(
        (
            reporter.id,
            attempt,
            payload.seq,
            payload.prev,
            digest,
            report.record,
            report.signature,
            payload.outcome,
            payload.compute_ms,
            payload.energy_mwh,
            payload.energy_method,
            payload.output,
        )
    )


def _conclusion(report: protocol.Report, payload: protocol.MeterPayload, row: AttemptRow) -> tuple[str, str, str]:
    """Return (status, code, result digest) to which a live attempt changes."""
    if report.outcome == "cancelled":
        return "cancelled", _why_stopped(report.code), ""
    if report.outcome == "error":
        return "failed", report.code[:64] or "error", ""
    if (payload.model, payload.input, payload.items) != (row.model_sha256, row.input_sha256, row.items):
        return "failed", "record_mismatch", ""
    if code := _doubt(payload, row):
        return "failed", code, ""
    try:
        _check_result(report, payload, row)
    except InvalidInput as error:
        return "failed", error.code, ""
    return "reported", "", payload.output


def _doubt(payload: protocol.MeterPayload, row: AttemptRow) -> str:
    """Return why a record cannot be true by the platform's own clock, or "". Such a record is stored but not paid."""
    began, ended = payload.started_unix_ms, payload.ended_unix_ms
    if not row.now_unix_ms - OLDEST_MS <= began <= ended <= row.now_unix_ms + AHEAD_MS:
        return "record_dated"
    # Processor time cannot exceed the time since the lease multiplied by the number of cores.
    if payload.compute_ms > row.held_ms * row.cores + settings.METER_CLOCK_SLACK_MS:
        return "record_impossible"
    return ""


def _why_stopped(code: str) -> str:
    """Return the code to store for a cancelled attempt.

    All reasons of the car become "stopped_by_car". Stored with the work, they would form a dated list of the car's
    departures, which needs its own consent.
    """
    return "stopped_by_car" if is_given_by_car(code) else code[:64] or "cancelled_by_node"


def _check_result(report: protocol.Report, payload: protocol.MeterPayload, row: AttemptRow) -> None:
    if not report.result:
        # The result was uploaded and checked before; the upload stored its digest on the attempt.
        if not row.result_sha256 or row.result_sha256 != payload.output:
            raise InvalidInput("The result was not uploaded.", code="result_missing")
        return
    if len(report.result) > protocol.INLINE_RESULT_MAX_BYTES:
        raise InvalidInput("An inline result is at most 4 KiB.", code="result_too_large")
    if hashlib.sha256(report.result).hexdigest() != payload.output:
        raise InvalidInput("The result is not the one that was signed.", code="result_mismatch")
    tensors.check_result(report.result, from_jsonb(row.outputs), row.items)


def _attempts(ids: Sequence[int]) -> dict[int, AttemptRow]:
    return {row[0]: AttemptRow(*row) for row in execute_batch(ATTEMPTS, [list(ids)])}


def _write(batch: Batch) -> None:
    if batch.meters:
        insert_batch("compute_meterrecord", METER_COLUMNS, batch.meters)
        heads = [(r.id, r.meter_seq, r.meter_hash) for r in batch.advanced.values()]
        execute_batch(HEADS, list(map(list, zip(*heads, strict=True))))
    if batch.concluded:
        execute_batch(CONCLUDE, list(map(list, zip(*batch.concluded.values(), strict=True))))


def _ack(report: protocol.Report, status: Any, code: str) -> protocol.Ack:
    return protocol.Ack(attempt=report.attempt, fence=report.fence, status=status, code=code)


@lru_cache(maxsize=100_000)
def _public_key(public_key: str) -> VerifyKey:
    """Return the libsodium key: it verifies in half the time of OpenSSL and also refuses keys of small order."""
    return VerifyKey(bytes.fromhex(public_key))
