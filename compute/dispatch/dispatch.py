"""One round of dispatch: assign open units to available nodes with a few set-based statements."""

import logging
from collections.abc import Sequence
from random import SystemRandom

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from compute.dispatch.matching import NodeOffer, Plan, UnitNeed, match
from core.db import atomic_retrying, execute_batch
from core.errors import ConsentRequired, from_database

logger = logging.getLogger(__name__)

ROUND_UNITS = 2000
ROUND_NODES = 2000
PRESENCE_S = 15  # a node without a sync for longer gets no work; available agents sync at least every 5 s
AWAY_S = 6
STEP_BACK_S = 1
SAME_UNIT_PAUSE_S = 60  # a node whose attempt of a unit has ended does not get the same unit again for this long
ROUND_LOCK = 0x44525659  # "DRVY": key of the advisory lock that allows one round at a time in a database

# Nodes with free leases whose consent is in force, to the version of the text that is valid now (a subquery, so it is
# evaluated once and not for each node). The consent rows stay locked until the attempts are committed. So a withdrawal
# either comes first and is seen here, or it waits and then finds the attempts that it must cancel.
OFFERS = """
SELECT n.id, v.owner_id, v.id, c.record_id, n.hardware_class_id, p.capacity - held.n, n.valid_streak,
       n.cost_micro_per_hour, h.memory_bytes, h.slowness_permille
  FROM compute_nodepresence p
  JOIN compute_node n ON n.id = p.node_id AND n.status = 'active'
  JOIN compute_hardwareclass h ON h.id = n.hardware_class_id
  JOIN accounts_vehicle v ON v.id = n.vehicle_id AND v.retired_at IS NULL
  JOIN accounts_consentcurrent c ON c.vehicle_id = v.id AND c.purpose = 'run_jobs'
       AND c.state IN ('given', 'renewed') AND (c.expires_at IS NULL OR c.expires_at > now())
       AND c.notice_version >= (SELECT accounts_notice_version('run_jobs'))
  JOIN LATERAL (SELECT count(*) AS n FROM compute_attempt a WHERE a.node_id = n.id AND a.status = 'leased') held ON true
 WHERE p.available AND p.last_sync_at > now() - make_interval(secs => %s) AND p.capacity > held.n
 ORDER BY p.last_sync_at DESC
 LIMIT %s
   FOR SHARE OF c SKIP LOCKED
"""

# Most rounds end with this cheap query: reading all nodes would be the largest cost of a round without work. It has the
# order of its index, because without ORDER BY the planner reads the whole table: too many rows seem to match.
WANTED = """
SELECT id FROM compute_workunit WHERE status = 'open' AND copies_live < copies_wanted ORDER BY priority DESC, id LIMIT 1
"""

# Open units that some node could take by price and memory, with the owners that hold a live copy and the nodes that
# must not get the unit (again): those that failed it, and those whose attempt ended less than SAME_UNIT_PAUSE_S ago.
NEEDS = """
SELECT u.id, u.job_id, u.copies_wanted, u.copies_live, u.copies_made,
       CASE WHEN u.copies_live > 0 THEN u.hardware_class_id END,
       CASE WHEN u.copies_made > 0 THEN ARRAY(SELECT owner_id FROM compute_attempt a WHERE a.unit_id = u.id
                                              AND a.status IN ('leased', 'reported', 'valid')) ELSE '{}' END,
       CASE WHEN u.copies_made > 0 THEN ARRAY(SELECT node_id FROM compute_attempt a WHERE a.unit_id = u.id
                                              AND (a.status IN ('failed', 'invalid')
                                                   OR a.ended_at > now() - make_interval(secs => %s))) ELSE '{}' END,
       j.pay_micro_per_hour, m.memory_bytes, COALESCE(j.slowness_max_permille, 2147483647)
  FROM compute_workunit u
  JOIN compute_inferencejob j ON j.id = u.job_id AND j.status = 'running'
  JOIN compute_modelartifact m ON m.id = j.artifact_id
 WHERE u.status = 'open' AND u.copies_live < u.copies_wanted
   AND (u.not_before_at IS NULL OR u.not_before_at <= now())
   AND j.pay_micro_per_hour >= %s AND m.memory_bytes <= %s
 ORDER BY u.priority DESC, u.id
 LIMIT %s
   FOR UPDATE OF u SKIP LOCKED
"""

# Only for units whose number of wanted copies changes; most keep one. (A trigger sets a unit's class at its first
# attempt.)
WIDEN = """
UPDATE compute_workunit u SET copies_wanted = d.wanted FROM unnest(%b::bigint[], %b::int[]) AS d(unit, wanted)
 WHERE u.id = d.unit
"""

LEASE = """
INSERT INTO compute_attempt (unit_id, job_id, node_id, vehicle_id, owner_id, consent_record_id, fence, status, expires_at)
SELECT m.*, 'leased', now() + make_interval(secs => %s)
  FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::int[]) AS m
"""

EXPIRE = """
WITH gone AS (
    SELECT id FROM compute_attempt WHERE status = 'leased' AND expires_at < now()
     ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
UPDATE compute_attempt a SET status = 'expired', status_code = 'lease_expired', ended_at = now()
  FROM gone WHERE a.id = gone.id RETURNING a.node_id
"""

# A node whose lease expired gets no further work until its next sync.
MARK_AWAY = """
UPDATE compute_nodepresence SET available = false, reason = 'away'
 WHERE node_id IN (SELECT node_id FROM compute_nodepresence
                    WHERE node_id = ANY(%s) AND last_sync_at < now() - make_interval(secs => %s)
                    ORDER BY node_id FOR UPDATE)
"""

# Units that no free node could take are skipped for a moment, so that they do not block the units behind them.
STEP_BACK = """
UPDATE compute_workunit SET not_before_at = now() + make_interval(secs => %s) WHERE id = ANY(%s)
"""


def expire_leases(*, limit: int = 5000) -> int:
    """End leases that were not renewed in time; other nodes can get their units at once. Return how many ended."""
    nodes = _expire(limit)
    if nodes:
        _mark_away(sorted(set(nodes)))
    return len(nodes)


@atomic_retrying
def _expire(limit: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(EXPIRE, [limit])
        return [row[0] for row in cursor.fetchall()]


@atomic_retrying
def _mark_away(nodes: list[int]) -> None:
    # In a separate transaction: `sync` locks presence before attempts, so this must not hold locks on attempts.
    with connection.cursor() as cursor:
        cursor.execute(MARK_AWAY, [nodes, AWAY_S])


def dispatch() -> int:
    """Match open units to available nodes and lease them. Return how many attempts were made.

    Do nothing while another process runs a round. The link is notified at commit. A consent may expire, or a new text
    may take effect, after the node was read: then the database refuses the whole round, and the next one leaves that
    node out.
    """
    try:
        return _round()
    except DatabaseError as error:
        refused = from_database(error)
        if not isinstance(refused, ConsentRequired):
            raise
        logger.warning("the database refused a round of dispatch: %s", refused.message)
        return 0


def _round() -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ROUND_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(WANTED)
        if cursor.fetchone() is None:
            return 0
        free = offers()
        return lease(needs(free), free) if free else 0


def offers() -> list[NodeOffer]:
    """Return the nodes that may get work now. Their consents stay locked until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(OFFERS, [PRESENCE_S, ROUND_NODES])
        return [NodeOffer(*row) for row in cursor.fetchall()]


def needs(offers: Sequence[NodeOffer]) -> list[UnitNeed]:
    """Return the open units that one of these nodes could take. They stay locked until the transaction ends."""
    cheapest = min(offer.cost_micro_per_hour for offer in offers)
    roomiest = max(offer.memory_bytes for offer in offers)
    with connection.cursor() as cursor:
        cursor.execute(NEEDS, [SAME_UNIT_PAUSE_S, cheapest, roomiest, ROUND_UNITS])
        return [UnitNeed(*row) for row in cursor.fetchall()]


def lease(needs: Sequence[UnitNeed], offers: Sequence[NodeOffer]) -> int:
    """Match units to nodes and insert the attempts, in the caller's transaction. Return how many were made."""
    plan = match(needs, offers, SystemRandom())
    _write(plan, {need.unit: need.wanted for need in needs})
    return len(plan.matches)


def _write(plan: Plan, wanted_before: dict[int, int]) -> None:
    with connection.cursor() as cursor:
        if plan.unplaced:
            cursor.execute(STEP_BACK, [STEP_BACK_S, plan.unplaced])
        if not plan.matches:
            return
        wider = {unit: wanted for unit, wanted in plan.decided.items() if wanted != wanted_before[unit]}
        if wider:
            execute_batch(WIDEN, [list(wider), list(wider.values())])
        rows = [
            (m.unit, m.job, m.offer.node, m.offer.vehicle, m.offer.owner, m.offer.consent, m.fence)
            for m in plan.matches
        ]
        execute_batch(LEASE, [settings.LEASE_S, *map(list, zip(*rows, strict=True))])
        cursor.execute("SELECT pg_notify('driveway_link', 'leases')")
