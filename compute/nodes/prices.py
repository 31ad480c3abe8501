"""What an hour of work costs each owner: energy of the hardware class at the present tariff, and battery wear."""

from collections.abc import Sequence

from django.db import connection

from core.db import atomic_retrying
from core.money import MWH_PER_KWH

BATCH = 5000
# Prices are updated every minute, and a unit takes about another minute. So the higher of the tariff now and the tariff
# AHEAD_S later counts, and fractions of a micro-unit are rounded up: no owner works at a loss.
AHEAD_S = 120

# The next nodes by id. Only nodes whose price changes are locked and written.
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
    """Store the present price of these nodes (None: of all that are not retired). Return how many changed.

    One statement in one short transaction handles BATCH nodes. Nodes whose price is unchanged are not written.
    """
    after, count, total = 0, BATCH, 0
    while count == BATCH:
        after, count, changed = _price_some(after, nodes)
        total += changed
    return total


@atomic_retrying
def _price_some(after: int, nodes: Sequence[int] | None) -> tuple[int, int, int]:
    """Return (last node id, nodes read, nodes changed)."""
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
        last, count, changed = cursor.fetchone()
        return last or after, count, changed
