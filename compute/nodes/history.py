"""Write a car's history beyond its work: availability and health, each only under its own consent.

The functions are set-based: `sync` calls them for all nodes of its batch. They lock the consent rows FOR SHARE before
they write. So a withdrawal either comes first, and nothing is written for that car, or it waits for this transaction
and then deletes what was written. Nothing is left behind, and the trigger that refuses history without consent never
fails a whole batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection

from compute import protocol
from compute.models.nodes import AWAY_AFTER
from compute.reasons import REASONS
from core.db import atomic_retrying

# A consent that expires, or whose text is superseded, within these seconds counts as ended already: the trigger reads
# the clock later than these statements.
MARGIN_S = 5

# Nodes with consent whose presence differs from their open span; their consents stay locked. If nothing has changed
# this is the only statement of a batch.
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

# A span ends at the node's last sync: now for a node that syncs, a while ago for one that went away.
CLOSE = """
UPDATE compute_availabilityspan s SET ended_at = GREATEST(s.started_at, p.last_sync_at)
  FROM compute_nodepresence p WHERE p.node_id = s.node_id AND s.ended_at IS NULL AND s.node_id = ANY(%s)
"""

OPEN = """
INSERT INTO compute_availabilityspan (node_id, vehicle_id, available, reason, started_at)
SELECT n.id, n.vehicle_id, p.available, {reason}, p.last_sync_at
  FROM compute_node n JOIN compute_nodepresence p ON p.node_id = n.id WHERE n.id = ANY(%(nodes)s)
"""

# A node can send any text as its reason, so only known reasons are stored.
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

# Nodes with an open span that have stopped syncing. Locked as `sync` locks them; a node that syncs meanwhile is
# skipped.
GONE = """
SELECT p.node_id FROM compute_availabilityspan s JOIN compute_nodepresence p ON p.node_id = s.node_id
 WHERE s.ended_at IS NULL AND s.reason <> 'away' AND p.last_sync_at < now() - make_interval(secs => %s)
 ORDER BY p.node_id LIMIT %s
   FOR NO KEY UPDATE OF p SKIP LOCKED
"""

# When a consent's text is superseded, nothing is deleted, but the open span ends.
LAPSED = """
UPDATE compute_availabilityspan s SET ended_at = GREATEST(s.started_at, now())
 WHERE s.ended_at IS NULL AND NOT EXISTS (
    SELECT FROM accounts_consentcurrent c WHERE c.vehicle_id = s.vehicle_id AND c.purpose = 'availability' AND {in_force})
"""

AWAY = "UPDATE compute_nodepresence SET available = false, reason = 'away' WHERE node_id = ANY(%s)"


def record_availability(node_ids: Sequence[int]) -> None:
    """End the open span and begin a new one for each node whose presence has changed. Skip nodes without consent.

    The caller holds the locks on the presence rows. It takes one statement if nothing changed, none without nodes.
    """
    changed = _lock_changed(node_ids) if node_ids else []
    if changed:
        _close(changed)
        _open(changed)


def record_health(said: Mapping[int, protocol.Health]) -> None:
    """Add nodes' health reports (by node id) to the counts of the day. Skip nodes without consent in force."""
    if not said:
        return
    with connection.cursor() as cursor:
        cursor.execute(CONSENTING.format(in_force=IN_FORCE), {"nodes": list(said), "margin": MARGIN_S})
        rows = [(row[0], said[row[0]].band, said[row[0]].units_failed) for row in cursor.fetchall()]
        if rows:
            cursor.execute(HEALTH, list(map(list, zip(*rows, strict=True))))


@atomic_retrying
def close_away(*, limit: int = 1000) -> int:
    """Mark nodes that have stopped syncing as away, and end open spans without a valid consent.

    An absence begins at the last sync. Return how many nodes went away.
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
    """Return the nodes whose presence has changed, with their consents locked."""
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
