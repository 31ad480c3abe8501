"""Deliver leases to nodes, renew them and deliver cancels. Used by `sync` on both carriers and by the link's pushes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.core import signing
from django.db import connection

from compute import protocol
from core.db import from_jsonb
from core.errors import Forbidden

GRANT_SALT = "compute.grant"
GRANT_MAX_AGE_S = 900
REDELIVER_AFTER_S = 3  # a lease that its node does not report by then was lost on the way and is delivered again

# Attempts to deliver to the given nodes: not delivered yet, or delivered a while ago and not held by the node.
DELIVER = """
WITH due AS (
    SELECT a.id FROM compute_attempt a
     WHERE a.node_id = ANY(%s) AND a.status = 'leased' AND a.expires_at > now()
       AND (a.delivered_at IS NULL
            OR (a.delivered_at < now() - make_interval(secs => %s) AND NOT a.id = ANY(%s)))
     ORDER BY a.id FOR UPDATE SKIP LOCKED),
marked AS (
    UPDATE compute_attempt a SET delivered_at = now() FROM due WHERE a.id = due.id
    RETURNING a.id, a.node_id, a.fence, a.unit_id, a.expires_at)
SELECT n.id, n.public_id, k.id, k.fence, extract(epoch FROM k.expires_at - now()) * 1000, u.items, m.sha256, m.size_bytes,
       u.input_sha256, u.input_bytes, m.outputs, m.memory_bytes, m.us_per_item, m.batch
  FROM marked k
  JOIN compute_node n ON n.id = k.node_id
  JOIN compute_workunit u ON u.id = k.unit_id
  JOIN compute_inferencejob j ON j.id = u.job_id
  JOIN compute_modelartifact m ON m.id = j.artifact_id
 ORDER BY k.id
"""

WAITING_NODES = """
SELECT DISTINCT a.node_id FROM compute_attempt a JOIN compute_nodepresence p ON p.node_id = a.node_id
 WHERE a.status = 'leased' AND a.delivered_at IS NULL AND p.carrier = 'nats'
"""

# Locked in the order of their ids, so that two batches cannot deadlock.
RENEW = """
UPDATE compute_attempt a SET expires_at = now() + make_interval(secs => %s)
  FROM (SELECT t.* FROM unnest(%s::bigint[], %s::int[], %s::bigint[]) AS t(id, fence, node)
          JOIN compute_attempt l ON l.id = t.id ORDER BY l.id FOR UPDATE OF l) held
 WHERE a.id = held.id AND a.fence = held.fence AND a.node_id = held.node AND a.status = 'leased'
RETURNING a.id
"""

UNSENT_CANCELS = """
WITH due AS (
    SELECT a.id FROM compute_attempt a
     WHERE a.status = 'cancelled' AND a.cancel_sent_at IS NULL
       AND CASE WHEN %s::bigint[] IS NULL
                THEN EXISTS (SELECT FROM compute_nodepresence p WHERE p.node_id = a.node_id AND p.carrier = 'nats')
                ELSE a.node_id = ANY(%s) END
     ORDER BY a.id LIMIT 5000 FOR UPDATE SKIP LOCKED)
UPDATE compute_attempt a SET cancel_sent_at = now() FROM due, compute_node n
 WHERE a.id = due.id AND n.id = a.node_id
RETURNING n.id, n.public_id, a.id, a.fence, a.status_code
"""

TIME_LIMIT_FACTOR = 20  # a unit that takes this many times its time in the trial run counts as stuck
TIME_LIMIT_FLOOR_MS = 30_000

HeldLeases = Mapping[int, Sequence[protocol.Renewal]]  # node id -> the leases that the node reports


def deliver(node_ids: Sequence[int], held: Sequence[int] = ()) -> dict[int, list[protocol.Lease]]:
    """Return the leases to deliver to these nodes now, by node id, and mark them as delivered.

    `held` are the attempt ids that the nodes have already.
    """
    leases: dict[int, list[protocol.Lease]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(DELIVER, [list(node_ids), REDELIVER_AFTER_S, list(held)])
        for row in cursor.fetchall():
            leases[row[0]].append(_lease(_Row(*row[1:])))
    return leases


def waiting_nodes() -> list[int]:
    """Return the ids of nodes on NATS that have undelivered leases."""
    with connection.cursor() as cursor:
        cursor.execute(WAITING_NODES)
        return [row[0] for row in cursor.fetchall()]


def renew(held: HeldLeases) -> set[int]:
    """Renew the leases that the nodes hold. Return the ids of the renewed attempts; the others have been lost."""
    rows = [(renewal.attempt, renewal.fence, node) for node, renewals in held.items() for renewal in renewals]
    if not rows:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(RENEW, [settings.LEASE_S, *map(list, zip(*rows, strict=True))])
        return {row[0] for row in cursor.fetchall()}


def take_cancels(node_ids: Sequence[int] | None = None) -> dict[int, list[protocol.Cancel]]:
    """Return the unsent cancels of these nodes (None: of all nodes on NATS), by node id, and mark them as sent."""
    ids = None if node_ids is None else list(node_ids)
    cancels: dict[int, list[protocol.Cancel]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(UNSENT_CANCELS, [ids, ids])
        for node, _, attempt, fence, code in cursor.fetchall():
            cancels[node].append(protocol.Cancel(attempt=attempt, fence=fence, code=code))
    return cancels


def check_grant(grant: str, *, node: str, sha256: str) -> None:
    """Raise Forbidden `grant_invalid` unless we signed the grant for this node and digest in the last 15 minutes."""
    try:
        holder, *digests = signing.loads(grant, salt=GRANT_SALT, max_age=GRANT_MAX_AGE_S)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise Forbidden("This grant is not valid.", code="grant_invalid") from error
    if holder != node or sha256 not in digests:
        raise Forbidden("This grant is for something else.", code="grant_invalid")


class _Row(NamedTuple):
    """What DELIVER selects of one lease."""

    node: Any
    attempt: int
    fence: int
    expires_in_ms: float
    items: int
    model: str
    model_bytes: int
    unit_input: str
    input_bytes: int
    outputs: Any
    memory_bytes: int
    us_per_item: int
    batch: int


def _lease(row: _Row) -> protocol.Lease:
    expected_ms = row.items * row.us_per_item // 1000
    return protocol.Lease(
        attempt=row.attempt,
        fence=row.fence,
        expires_in_ms=int(row.expires_in_ms),
        items=row.items,
        batch=row.batch,
        model_sha256=row.model,
        model_bytes=row.model_bytes,
        input_sha256=row.unit_input,
        input_bytes=row.input_bytes,
        outputs=tuple(output["name"] for output in from_jsonb(row.outputs)),
        memory_bytes=row.memory_bytes,
        time_limit_ms=max(TIME_LIMIT_FLOOR_MS, TIME_LIMIT_FACTOR * expected_ms),
        grant=_signer().sign_object([str(row.node), row.model, row.unit_input]),
    )


@lru_cache(maxsize=1)
def _signer() -> signing.TimestampSigner:
    """Return the signer, made once: `signing.dumps` would create one for every lease."""
    return signing.TimestampSigner(salt=GRANT_SALT)
