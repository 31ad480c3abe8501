"""What an hour of work costs each owner: the class's draw at the owner's tariff of the moment, and battery wear."""

from collections.abc import Sequence

from django.db import connection

from core.db import atomic_retrying
from core.money import MWH_PER_KWH

BATCH = 5000
# Prices are looked at every minute and a unit lasts about one more: until then the dearer of now and then counts, and a
# fraction of a micro-unit counts as one, so that no owner works at a loss.
AHEAD_S = 120

# The next nodes by id; only those whose price changes are locked and written.
REPRICE = """
WITH looked_at AS (
    SELECT id, vehicle_id, hardware_class_id FROM compute_node
     WHERE id > %(after)s AND status <> 'retired' AND (%(nodes)s::bigint[] IS NULL OR id = ANY(%(nodes)s))
     ORDER BY id LIMIT %(batch)s
), priced AS (
    SELECT n.id, ceil(h.power_mw::numeric * (p.wear_micro_per_kwh + GREATEST(
               accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows, z.zone, now()),
               accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows, z.zone,
                                     now() + make_interval(secs => %(ahead)s))
           )) / %(mwh_per_kwh)s)::bigint AS cost
      FROM looked_at n
      JOIN compute_hardwareclass h ON h.id = n.hardware_class_id
      JOIN accounts_ownerpolicy p ON p.vehicle_id = n.vehicle_id
      JOIN accounts_vehicle v ON v.id = n.vehicle_id
      JOIN accounts_owner o ON o.id = v.owner_id
      CROSS JOIN LATERAL (SELECT COALESCE(NULLIF(p.time_zone, ''), o.time_zone) AS zone) z
), changed AS (
    SELECT n.id, p.cost FROM compute_node n JOIN priced p ON p.id = n.id
     WHERE n.cost_micro_per_hour <> p.cost ORDER BY n.id FOR NO KEY UPDATE OF n
), written AS (
    UPDATE compute_node n SET cost_micro_per_hour = c.cost FROM changed c WHERE n.id = c.id RETURNING n.id
)
SELECT (SELECT max(id) FROM looked_at), (SELECT count(*) FROM looked_at), (SELECT count(*) FROM written)
"""


def price_nodes(*, nodes: Sequence[int] | None = None) -> int:
    """Give these nodes (all but retired ones, if None) their price of the moment. Returns how many changed.

    One statement and one short transaction for thousands of nodes; a node whose price stands is not written.
    """
    after, seen, total = 0, BATCH, 0
    while seen == BATCH:
        after, seen, changed = _price_some(after, nodes)
        total += changed
    return total


@atomic_retrying
def _price_some(after: int, nodes: Sequence[int] | None) -> tuple[int, int, int]:
    """The last node looked at, how many were, how many changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            REPRICE,
            {
                "after": after,
                "nodes": None if nodes is None else list(nodes),
                "ahead": AHEAD_S,
                "batch": BATCH,
                "mwh_per_kwh": MWH_PER_KWH,
            },
        )
        last, seen, changed = cursor.fetchone()
        return last or after, seen, changed
