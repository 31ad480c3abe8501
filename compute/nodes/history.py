"""What is kept about a car beyond its work, each table only under its own consent. Set-based: `sync` writes here for all its nodes.

Consent rows are locked FOR SHARE before anything is written. A withdrawal then either came first, and the row is not among
those to write for, or waits for this transaction and deletes what it wrote: nothing is left behind, and the database, which
refuses history without consent, refuses nobody's whole batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection

from compute import protocol
from compute.models.nodes import AWAY_AFTER
from compute.reasons import REASONS
from core.db import atomic_retrying

# A consent that ends within seconds, by its own date or by a new text, counts as ended: the database reads its clock later.
MARGIN_S = 5

# Nodes whose presence says something else than their open span, under consent; their consents stay locked. In a quiet batch
# none, and this is all that is asked.
CHANGED = """
SELECT n.id
  FROM compute_node n
  JOIN compute_nodepresence p ON p.node_id = n.id
  JOIN accounts_consentcurrent c ON c.vehicle_id = n.vehicle_id AND c.purpose = 'availability'
  LEFT JOIN compute_availabilityspan s ON s.node_id = n.id AND s.ended_at IS NULL
 WHERE n.id = ANY(%(nodes)s)
   AND (s.id IS NULL OR (s.available, s.reason) IS DISTINCT FROM (p.available, {reason}))
   AND {in_force}
 ORDER BY c.id
   FOR SHARE OF c
"""

# At the moment at which the node was heard: now, in a sync; a while ago, for one that went away.
CLOSE = """
UPDATE compute_availabilityspan s SET ended_at = GREATEST(s.started_at, p.last_sync_at)
  FROM compute_nodepresence p WHERE p.node_id = s.node_id AND s.ended_at IS NULL AND s.node_id = ANY(%s)
"""

OPEN = """
INSERT INTO compute_availabilityspan (node_id, vehicle_id, available, reason, started_at)
SELECT n.id, n.vehicle_id, p.available, {reason}, p.last_sync_at
  FROM compute_node n JOIN compute_nodepresence p ON p.node_id = n.id WHERE n.id = ANY(%(nodes)s)
"""

# A node's words are its own, and free: only a reason that is known is kept.
REASON = "CASE WHEN p.available THEN '' WHEN p.reason = ANY(%(reasons)s) THEN p.reason ELSE 'other' END"

IN_FORCE = """c.state IN ('given', 'renewed')
   AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp() + make_interval(secs => %(margin)s))
   AND c.notice_version >= ALL (SELECT version FROM accounts_consentnotice t WHERE t.purpose = c.purpose
                                   AND t.effective_at <= clock_timestamp() + make_interval(secs => %(margin)s))"""

CONSENTING = """
SELECT n.id
  FROM compute_node n
  JOIN accounts_consentcurrent c ON c.vehicle_id = n.vehicle_id AND c.purpose = 'reliability'
 WHERE n.id = ANY(%(nodes)s) AND {in_force}
 ORDER BY c.id
   FOR SHARE OF c
"""

HEALTH = """
INSERT INTO compute_healthday AS h (node_id, vehicle_id, day, reports_cool, reports_warm, reports_hot, units_failed)
SELECT n.id, n.vehicle_id, (now() AT TIME ZONE 'UTC')::date, (r.band = 'cool')::int, (r.band = 'warm')::int,
       (r.band = 'hot')::int, r.failed
  FROM unnest(%s::bigint[], %s::text[], %s::int[]) AS r(node, band, failed) JOIN compute_node n ON n.id = r.node
 ORDER BY n.id
    ON CONFLICT (node_id, day) DO UPDATE
   SET reports_cool = h.reports_cool + EXCLUDED.reports_cool, reports_warm = h.reports_warm + EXCLUDED.reports_warm,
       reports_hot = h.reports_hot + EXCLUDED.reports_hot,
       units_failed = LEAST(h.units_failed::bigint + EXCLUDED.units_failed, 2147483647)
"""

# Nodes that went silent while their history is kept. Locked as `sync` locks them: one that speaks again meanwhile is left alone.
GONE = """
SELECT p.node_id FROM compute_availabilityspan s JOIN compute_nodepresence p ON p.node_id = s.node_id
 WHERE s.ended_at IS NULL AND s.reason <> 'away' AND p.last_sync_at < now() - make_interval(secs => %s)
 ORDER BY p.node_id LIMIT %s
   FOR NO KEY UPDATE OF p SKIP LOCKED
"""

# A text that counts no longer deletes nothing, but what is kept under it ends where it does.
LAPSED = """
UPDATE compute_availabilityspan s SET ended_at = GREATEST(s.started_at, now())
 WHERE s.ended_at IS NULL AND NOT EXISTS (
    SELECT FROM accounts_consentcurrent c WHERE c.vehicle_id = s.vehicle_id AND c.purpose = 'availability' AND {in_force})
"""

AWAY = "UPDATE compute_nodepresence SET available = false, reason = 'away' WHERE node_id = ANY(%s)"


def keep_availability(node_ids: Sequence[int]) -> None:
    """Where a node's presence has changed, end its open span and begin the next. The caller holds the presence rows.

    Nodes without consent in force are passed over. One statement if nothing changed, none if there are no nodes.
    """
    changed = _lock_changed(node_ids) if node_ids else []
    if changed:
        _close(changed)
        _open(changed)


def keep_health(said: Mapping[int, protocol.Health]) -> None:
    """Add what nodes said of their health to the day's counts. Nodes without consent in force are passed over."""
    if not said:
        return
    with connection.cursor() as cursor:
        cursor.execute(CONSENTING.format(in_force=IN_FORCE), {"nodes": list(said), "margin": MARGIN_S})
        rows = [(row[0], said[row[0]].band, said[row[0]].units_failed) for row in cursor.fetchall()]
        if rows:
            cursor.execute(HEALTH, list(map(list, zip(*rows, strict=True))))


@atomic_retrying
def close_away(*, limit: int = 1000) -> int:
    """Mark nodes that have not been heard of as away, from when they were last heard, and end spans whose consent no longer
    counts. Returns how many went away.
    """
    with connection.cursor() as cursor:
        cursor.execute(LAPSED.format(in_force=IN_FORCE), {"margin": 0})
        cursor.execute(GONE, [AWAY_AFTER.total_seconds(), limit])
        nodes = [row[0] for row in cursor.fetchall()]
        if nodes:
            cursor.execute(AWAY, [nodes])
            changed = _lock_changed(nodes)
            _close(nodes)
            _open(changed)
    return len(nodes)


def _lock_changed(nodes: Sequence[int]) -> list[int]:
    values: dict[str, Any] = {"nodes": list(nodes), "reasons": list(REASONS), "margin": MARGIN_S}
    with connection.cursor() as cursor:
        cursor.execute(CHANGED.format(reason=REASON, in_force=IN_FORCE), values)
        return [row[0] for row in cursor.fetchall()]


def _close(nodes: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(CLOSE, [list(nodes)])


def _open(nodes: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(OPEN.format(reason=REASON), {"nodes": list(nodes), "reasons": list(REASONS)})
