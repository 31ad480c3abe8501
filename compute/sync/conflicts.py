"""Conflicts of meter records: a second, different record under a used number is kept apart and never paid.

The same record again is no conflict, but a repeated report whose answer was lost.

A number identifies one execution for ever. A node that signs a second record under it has forged one of them, or it has
been restored from an old copy of its state. The server cannot distinguish the two, so it suspends the node and sets its
trust to zero. Then the owner connects the car's computer again, which begins a new chain, or an operator lifts the
suspension (compute/nodes/decisions.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import User
from compute.models import Node
from core import workers
from core.db import execute_batch

CONFLICT_CODE = "meter_conflict"
# How many conflicting records of one node are kept: enough as evidence, and not enough to fill a disk.
KEPT_MAX = 100

STORED = """
SELECT m.node_id, m.seq, m.hash FROM compute_meterrecord m
  JOIN unnest(%b::bigint[], %b::bigint[]) AS r(node_id, seq) ON m.node_id = r.node_id AND m.seq = r.seq
"""

QUARANTINE = """
INSERT INTO compute_meterconflict (first_id, node_id, seq, hash, record, signature)
SELECT m.id, m.node_id, m.seq, c.hash, c.record, c.signature
  FROM unnest(%b::bigint[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[]) AS c(node_id, seq, hash, record, signature)
  JOIN compute_meterrecord m ON m.node_id = c.node_id AND m.seq = c.seq
 WHERE (SELECT count(*) FROM compute_meterconflict x WHERE x.node_id = c.node_id) < %b
ON CONFLICT ON CONSTRAINT meter_conflict_once DO NOTHING
"""

# The nodes are locked in the order of their ids, so that two batches that suspend the same nodes cannot deadlock.
SUSPEND_NODES = """
WITH lying AS (
    SELECT d.id FROM compute_node d JOIN compute_nodepresence p ON p.node_id = d.id
     WHERE d.id = ANY(%b::bigint[]) AND d.status = 'active' AND NOT p.resuming ORDER BY d.id FOR NO KEY UPDATE OF d)
UPDATE compute_node n SET status = 'suspended', status_code = %b, valid_streak = 0 FROM lying WHERE n.id = lying.id
RETURNING n.id
"""


@dataclass(frozen=True)
class RepeatedRecord:
    """A signed record under a number that its node has used before."""

    node_id: int
    seq: int
    hash: str
    record: bytes
    signature: bytes


def judge(repeated: Sequence[RepeatedRecord]) -> list[str]:
    """Return for each record "duplicate", "meter_conflict", or "meter_gap" for a number that was never seen.

    Store the conflicts and suspend their nodes. Call it in the transaction that has written the batch's new records, so
    that two records under one new number are found as well. It takes one statement, two more if there is a conflict,
    and none for an empty sequence.
    """
    if not repeated:
        return []
    stored = {
        (node_id, seq): digest
        for node_id, seq, digest in execute_batch(STORED, [[r.node_id for r in repeated], [r.seq for r in repeated]])
    }
    verdicts = [_verdict(stored.get((r.node_id, r.seq)), r) for r in repeated]
    different = [r for r, verdict in zip(repeated, verdicts, strict=True) if verdict == CONFLICT_CODE]
    if different:
        _quarantine(different)
    return verdicts


def _verdict(stored: str | None, repeated: RepeatedRecord) -> str:
    if stored is None:
        return "meter_gap"
    return "duplicate" if stored == repeated.hash else CONFLICT_CODE


def _quarantine(different: Sequence[RepeatedRecord]) -> None:
    rows = [(r.node_id, r.seq, r.hash, r.record, r.signature) for r in different]
    execute_batch(QUARANTINE, [*map(list, zip(*rows, strict=True)), KEPT_MAX])
    paused = execute_batch(SUSPEND_NODES, [sorted({r.node_id for r in different}), CONFLICT_CODE])
    for node in Node.objects.filter(pk__in=[row[0] for row in paused]).select_related("vehicle__owner__user"):
        _announce(node)
    if paused:
        workers.wake("compute.dispatch_round")  # other nodes can get its units when its leases have ended


def _announce(node: Node) -> None:
    """Write the suspension to the audit trail and queue the owner's mail."""
    vehicle = node.vehicle
    platform: User | None = None  # no user: the platform itself acts
    audit.record(
        actor=platform, action="node.suspend", subject=node.public_id, vehicle=str(vehicle.public_id), why=CONFLICT_CODE
    )
    outbox.queue(
        user=vehicle.owner.user,
        kind="node-paused",
        dedupe_key=f"node-paused:{node.public_id}",
        context={"vehicle": str(vehicle.public_id)},
    )
