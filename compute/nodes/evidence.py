"""The evidence of a meter conflict: two records that a node signed under one number, side by side, for the operator."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from accounts.models import AuditEvent
from compute import protocol
from compute.models import MeterConflict, MeterRecord, Node, NodeDecision, UsageRecord

DECIDE_ACTION = "conflict.decide"


@dataclass(frozen=True)
class ComparedField:
    """One line of the comparison: a title and its value in both records."""

    title: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        return self.first != self.second


@dataclass(frozen=True)
class DecisionRow:
    """A decision with the operator's reason, "" after an erasure."""

    decision: NodeDecision
    reason: str


def compared_fields(conflict: MeterConflict) -> list[ComparedField]:
    """Return the comparison of both records: our data about them, their fields, their signed bytes and signatures."""
    first, node = conflict.first, conflict.node
    return [
        ComparedField("Kept as", _kept_as(first), "Set aside: never paid"),
        ComparedField("Received", _moment(first.received_at), _moment(conflict.received_at)),
        ComparedField("SHA-256", first.hash, conflict.hash),
        ComparedField("Signature", *map(partial(_signature_check, node), (first, conflict))),
        *_fields(bytes(first.record), bytes(conflict.record)),
        ComparedField("Signed bytes", *(bytes(each.record).decode(errors="replace") for each in (first, conflict))),
        ComparedField("Ed25519 signature", bytes(first.signature).hex(), bytes(conflict.signature).hex()),
    ]


def decisions(node: Node) -> list[DecisionRow]:
    """Return the decisions about a node, newest first, with the reasons from the audit trail.

    The owner's erasure removes the reasons.
    """
    entries = list(node.decisions.select_related("decided_by").order_by("-id"))
    events = AuditEvent.objects.filter(action=DECIDE_ACTION, subject=str(node.public_id))
    reasons = {event.details.get("row"): event.details.get("reason", "") for event in events}
    return [DecisionRow(entry, reasons.get(str(entry.public_id), "")) for entry in entries]


def _kept_as(first: MeterRecord) -> str:
    usage = UsageRecord.objects.filter(meter_record=first).first()
    if usage is None:
        return "First in the chain; not paid"
    return "First in the chain; paid" if usage.settled_at else "First in the chain; will be paid"


def _signature_check(node: Node, signed: MeterRecord | MeterConflict) -> str:
    try:
        key = VerifyKey(bytes.fromhex(node.public_key))
        key.verify(protocol.signed_bytes(bytes(signed.record)), bytes(signed.signature))
    except (BadSignatureError, ValueError):
        return "Not valid for this computer's key"
    return "Valid for this computer's key"


def _fields(first: bytes, second: bytes) -> Iterator[ComparedField]:
    """Yield a row for each field; none for bytes that are no record, left by tests or old versions."""
    try:
        left, right = (msgspec.to_builtins(protocol.unpack_meter(record)) for record in (first, second))
    except msgspec.DecodeError:
        return
    for name in left:
        yield ComparedField(name, *(_value(name, record[name]) for record in (left, right)))


def _value(name: str, value: object) -> str:
    if name.endswith("_unix_ms") and isinstance(value, int) and 0 <= value < 253_402_300_800_000:
        return f"{value} ({_moment(datetime.fromtimestamp(value / 1000, tz=UTC))})"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"
