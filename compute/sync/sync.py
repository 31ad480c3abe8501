"""Handle `sync`, the message of a node and its answer.

Both carriers call `handle`, for one node or for a batch of many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from compute import protocol
from compute.dispatch import leases
from compute.nodes import history, limits, nodes
from compute.sync import reports, resumption
from compute.sync.reports import Reporter
from core import workers

SYNC_MS = {"nats": 5000, "https": 3000}
WITHHELD_SYNC_MS = 15000  # the node gets no work, so it may sync rarely
# While a node holds work it must renew its leases, and over HTTPS it receives cancels only in answers. 2.5 s is shorter
# than the promised interval of 3 s (POLL_MS in compute/api/node.py), so that the round trip fits as well.
HOLDING_SYNC_MS = {"nats": 4000, "https": 2500}

# The presence rows serve as the lock, so that two syncs of one node over either carrier take turns. The row of the node
# itself is not locked: verification writes trust there, and the two would wait for each other's whole batches. The
# array lists the other purposes that the owner consents to. The versions of their texts are read once for all nodes.
NODES = """
WITH wanted AS (
    SELECT purpose, max(version) AS version FROM accounts_consentnotice
     WHERE effective_at <= now() AND purpose <> 'run_jobs' GROUP BY purpose)
SELECT n.id, n.public_id, n.public_key, p.meter_seq, p.meter_hash, n.status, n.status_code, n.vehicle_id,
       p.seq, p.resuming, c.state, c.expires_at <= now(), c.notice_version < (SELECT accounts_notice_version('run_jobs')), y.version,
       ARRAY(SELECT s.purpose FROM accounts_consentcurrent s JOIN wanted w ON w.purpose = s.purpose
              WHERE s.vehicle_id = n.vehicle_id AND s.state IN ('given', 'renewed') AND s.notice_version >= w.version
                AND (s.expires_at IS NULL OR s.expires_at > now()) AND n.status <> 'retired' ORDER BY s.purpose)
  FROM compute_nodepresence p
  JOIN compute_node n ON n.id = p.node_id
  LEFT JOIN accounts_consentcurrent c ON c.vehicle_id = n.vehicle_id AND c.purpose = 'run_jobs'
  LEFT JOIN accounts_ownerpolicy y ON y.vehicle_id = n.vehicle_id
 WHERE n.public_id = ANY(%s::uuid[])
 ORDER BY p.node_id
   FOR NO KEY UPDATE OF p
"""

PRESENCE = """
UPDATE compute_nodepresence p
   SET seq = s.seq, available = s.available, reason = s.reason, capacity = s.capacity, policy_version = s.policy,
       carrier = %s, last_sync_at = now()
  FROM unnest(%s::bigint[], %s::bigint[], %s::bool[], %s::text[], %s::int[], %s::int[])
       AS s(node, seq, available, reason, capacity, policy)
 WHERE p.node_id = s.node
"""

MAX_CAPACITY = 1000


@dataclass
class NodeAtSync:
    """A node's data at the moment of its sync."""

    reporter: Reporter
    status: str
    status_code: str
    vehicle_id: int
    seq: int
    resuming: bool  # after a lifted suspension, until the agent confirms where its chain continues
    consent: str | None
    consent_expired: bool | None
    consent_outdated: bool | None
    policy_version: int | None
    share: list[str]  # purposes in force besides running jobs; none for a retired node

    @property
    def withheld(self) -> str:
        """The reason code why this node gets no work, or ""."""
        if self.status != "active":
            return f"node_{self.status}"
        if self.resuming:
            return "node_resuming"
        if self.consent is None:
            return "consent_missing"
        if self.consent_expired:
            return "consent_expired"
        if self.consent not in ("given", "renewed"):
            return f"consent_{self.consent}"
        return "consent_outdated" if self.consent_outdated else ""


def handle(requests: Sequence[protocol.SyncRequest], *, carrier: str) -> list[protocol.SyncResponse]:
    """Write the effects of all requests in one transaction and return the answers in the same order.

    `carrier` is "nats" or "https". The caller has authenticated the node of each request, by its signature or its NATS
    subject. A refused request is answered with `error`: `unknown_node`, `malformed`, `replayed` or
    `unsupported_version`. Send the answers after the commit, so that an answer means durable effects.
    """
    with transaction.atomic():
        known = _lock_nodes(requests)
        accepted: dict[int, protocol.SyncRequest] = {}
        answers: dict[int, protocol.SyncResponse] = {}
        seen: set[str] = set()
        for index, request in enumerate(requests):
            error = _refusal(request, known.get(request.node), request.node in seen)
            if error:
                # The agent continues its numbers after the one in the answer.
                last = known[request.node].seq if error[0] == "replayed" else request.seq
                answers[index] = protocol.SyncResponse(seq=last, error=error[0], message=error[1])
            else:
                accepted[index] = request
                seen.add(request.node)
        if accepted:
            answers.update(_answer(accepted, known, carrier))
    return [answers[index] for index in range(len(requests))]


def _answer(
    accepted: dict[int, protocol.SyncRequest], known: dict[str, NodeAtSync], carrier: str
) -> dict[int, protocol.SyncResponse]:
    """Write the effects of the accepted requests (by index) and return their answers by index."""
    requests = list(accepted.values())
    by_node = {known[r.node].reporter.id: r for r in requests}
    for request in requests:
        if request.hardware and known[request.node].status != "retired":
            nodes.describe(known[request.node].reporter.id, request.hardware, request.agent_version)
    resumption.confirm_chain_heads({known[r.node].reporter.id: r.chain for r in requests if r.chain}, known.values())
    acks = _record_reports(requests, known)
    chains = resumption.chain_heads(
        [node.reporter.id for node in known.values() if node.resuming and node.status == "active"]
    )
    # A node that gets no work keeps none either: its leases are not renewed and are answered with "lease_lost".
    free = {node: r for node, r in by_node.items() if not known[r.node].withheld}
    renewed = leases.renew({node: r.running for node, r in free.items()})
    held = [renewal.attempt for r in requests for renewal in r.running]
    cancels = leases.take_cancels(list(by_node))
    delivered = leases.deliver(list(free), held)
    _write_presence(by_node, known, carrier)
    history.record_availability([node for node, r in by_node.items() if "availability" in known[r.node].share])
    history.record_health(
        {n: r.health for n, r in by_node.items() if r.health and "reliability" in known[r.node].share}
    )
    if acks or any(r.available and r.capacity > len(r.running) for r in requests):
        workers.wake("compute.dispatch_round")
    answers = {}
    for index, request in accepted.items():
        node = known[request.node]
        ended = [
            protocol.Cancel(attempt=renewal.attempt, fence=renewal.fence, code="lease_lost")
            for renewal in request.running
            if renewal.attempt not in renewed
        ]
        cancelled = {cancel.attempt for cancel in cancels.get(node.reporter.id, ())}
        answers[index] = protocol.SyncResponse(
            seq=request.seq,
            acks=tuple(acks[node.reporter.id, report.attempt] for report in request.reports),
            leases=tuple(delivered.get(node.reporter.id, ())),
            cancels=(*cancels.get(node.reporter.id, ()), *(c for c in ended if c.attempt not in cancelled)),
            withheld=node.withheld,
            policy=_changed_policy(node, request),
            chain=chains.get(node.reporter.id),
            share=tuple(node.share),
            lease_ms=settings.LEASE_S * 1000,
            next_sync_ms=_next_sync_ms(node, request, bool(delivered.get(node.reporter.id)), carrier),
        )
    return answers


def _record_reports(
    requests: Sequence[protocol.SyncRequest], known: dict[str, NodeAtSync]
) -> dict[tuple[int, int], protocol.Ack]:
    """Return the ack of every report. Those of a retired node are refused unread: others may have its key."""
    alive = [r for r in requests if known[r.node].status != "retired"]
    acks = reports.record([(known[r.node].reporter, report) for r in alive for report in r.reports])
    for request in requests:
        if known[request.node].status == "retired":
            for report in request.reports:
                refused = protocol.Ack(
                    attempt=report.attempt, fence=report.fence, status="refused", code="node_retired"
                )
                acks[known[request.node].reporter.id, report.attempt] = refused
    return acks


def _lock_nodes(requests: Sequence[protocol.SyncRequest]) -> dict[str, NodeAtSync]:
    with connection.cursor() as cursor:
        cursor.execute(NODES, [[r.node for r in requests if _is_uuid(r.node)]])
        return {str(row[1]): NodeAtSync(Reporter(*row[:5]), *row[5:]) for row in cursor.fetchall()}


def _refusal(request: protocol.SyncRequest, node: NodeAtSync | None, is_second: bool) -> tuple[str, str] | None:
    """Return (code, message) if the request must be refused. `is_second`: the batch has another one of this node."""
    if request.version != protocol.VERSION:
        return "unsupported_version", f"This server speaks version {protocol.VERSION}."
    if node is None:
        return "unknown_node", "There is no such node."
    if not limits.fits(request):
        return "malformed", "A number or a text in this sync is out of range."
    if request.seq <= node.seq or is_second:
        return "replayed", "This sync, or a later one, was answered already."
    return None


def _write_presence(by_node: dict[int, protocol.SyncRequest], known: dict[str, NodeAtSync], carrier: str) -> None:
    rows = [
        (
            node,
            r.seq,
            r.available and not known[r.node].withheld,
            r.reason[:40] or known[r.node].withheld,
            max(0, min(r.capacity, MAX_CAPACITY)),
            r.policy_version,
        )
        for node, r in by_node.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(PRESENCE, [carrier, *map(list, zip(*rows, strict=True))])


def _changed_policy(node: NodeAtSync, request: protocol.SyncRequest) -> protocol.Policy | None:
    if node.policy_version is None or node.policy_version == request.policy_version:
        return None
    return nodes.policy_of(node.vehicle_id)


def _next_sync_ms(node: NodeAtSync, request: protocol.SyncRequest, has_new: bool, carrier: str) -> int:
    if node.withheld:
        return WITHHELD_SYNC_MS
    holds = has_new or bool(request.running)
    return (HOLDING_SYNC_MS if holds else SYNC_MS)[carrier]


def _is_uuid(text: Any) -> bool:
    try:
        return bool(str(UUID(text)) == text)
    except (ValueError, AttributeError, TypeError):
        return False
