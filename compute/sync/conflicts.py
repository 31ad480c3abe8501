"""Records under numbers that were used before: the same again is a lost answer, another one is kept apart and never paid.

A number names one execution for ever. Who signs a second record under it has forged one, or has lost its memory and goes
on from an old copy of it; neither can be told from outside, so the node is paused and its trust starts from zero. Its
owner connects the car's computer anew, which begins a new chain; or an operator lifts the suspension (compute/nodes/decisions.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import User
from compute.models import Node
from core import workers
from core.db import execute_batch

CODE = "meter_conflict"
# What is kept of one node's second records: enough to show what it does, too little to fill a disk with.
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

# In the order of their ids: two batches that pause the same nodes wait for each other, and none for ever.
PAUSE = """
WITH lying AS (
    SELECT d.id FROM compute_node d JOIN compute_nodepresence p ON p.node_id = d.id
     WHERE d.id = ANY(%b::bigint[]) AND d.status = 'active' AND NOT p.resuming ORDER BY d.id FOR NO KEY UPDATE OF d)
UPDATE compute_node n SET status = 'suspended', status_code = %b, valid_streak = 0 FROM lying WHERE n.id = lying.id
RETURNING n.id
"""


@dataclass(frozen=True)
class Repeated:
    """A signed record whose number its node has used."""

    node_id: int
    seq: int
    hash: str
    record: bytes
    signature: bytes


def judge(repeated: Sequence[Repeated]) -> list[str]:
    """For each: "duplicate", "meter_conflict" or, of a number that was never seen, "meter_gap".

    Conflicts are kept and their nodes paused. In the transaction that has written the batch's new records, so that two
    records under one new number are seen too. Two statements more when there is a conflict; none when nothing repeats.
    """
    if not repeated:
        return []
    stored = {
        (node_id, seq): digest
        for node_id, seq, digest in execute_batch(STORED, [[r.node_id for r in repeated], [r.seq for r in repeated]])
    }
    verdicts = [_verdict(stored.get((r.node_id, r.seq)), r) for r in repeated]
    different = [r for r, verdict in zip(repeated, verdicts, strict=True) if verdict == CODE]
    if different:
        _quarantine(different)
    return verdicts


def _verdict(stored: str | None, repeated: Repeated) -> str:
    if stored is None:
        return "meter_gap"
    return "duplicate" if stored == repeated.hash else CODE


def _quarantine(different: Sequence[Repeated]) -> None:
    rows = [(r.node_id, r.seq, r.hash, r.record, r.signature) for r in different]
    execute_batch(QUARANTINE, [*map(list, zip(*rows, strict=True)), KEPT_MAX])
    paused = execute_batch(PAUSE, [sorted({r.node_id for r in different}), CODE])
    for node in Node.objects.filter(pk__in=[row[0] for row in paused]).select_related("vehicle__owner__user"):
        _tell(node)
    if paused:
        workers.wake("compute.dispatch_round")  # what it holds will be open for others


def _tell(node: Node) -> None:
    vehicle = node.vehicle
    nobody: User | None = None  # the platform itself
    audit.record(actor=nobody, action="node.suspend", subject=node.public_id, vehicle=str(vehicle.public_id), why=CODE)
    outbox.queue(
        user=vehicle.owner.user,
        kind="node-paused",
        dedupe_key=f"node-paused:{node.public_id}",
        context={"vehicle": str(vehicle.public_id)},
    )
