"""What an hour of work costs each owner: the class's draw at the owner's tariff of the moment, and battery wear."""

from collections.abc import Sequence

from django.db import connection

from marketplace.core.db import atomic_retrying
from marketplace.core.money import MWH_PER_KWH

BATCH = 2000
# Prices are looked at every minute and a unit lasts about one more: until then the dearer of now and then counts, and a
# fraction of a micro-unit counts as one, so that no owner works at a loss.
AHEAD_S = 120

REPRICE = """
WITH priced AS (
    SELECT n.id, ceil(h.power_mw::numeric * (p.wear_micro_per_kwh + GREATEST(
               accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows, z.zone, now()),
               accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows, z.zone,
                                     now() + make_interval(secs => %(ahead)s))
           )) / %(mwh_per_kwh)s)::bigint AS cost
      FROM compute_node n
      JOIN compute_hardwareclass h ON h.id = n.hardware_class_id
      JOIN accounts_ownerpolicy p ON p.vehicle_id = n.vehicle_id
      JOIN accounts_vehicle v ON v.id = n.vehicle_id
      JOIN accounts_owner o ON o.id = v.owner_id
      CROSS JOIN LATERAL (SELECT COALESCE(NULLIF(p.time_zone, ''), o.time_zone) AS zone) z
     WHERE n.status <> 'retired' AND (%(nodes)s::bigint[] IS NULL OR n.id = ANY(%(nodes)s))
), changed AS (
    SELECT n.id, p.cost FROM compute_node n JOIN priced p ON p.id = n.id
     WHERE n.cost_micro_per_hour <> p.cost
     ORDER BY n.id LIMIT %(batch)s FOR NO KEY UPDATE OF n
)
UPDATE compute_node n SET cost_micro_per_hour = c.cost FROM changed c WHERE n.id = c.id
"""


def price_nodes(*, nodes: Sequence[int] | None = None) -> int:
    """Give these nodes (all but retired ones, if None) their price of the moment. Returns how many changed.

    A few statements whatever the number of nodes; a node whose price stands is not written.
    """
    total = 0
    while changed := _price_some(nodes):
        total += changed
        if changed < BATCH:
            break
    return total


@atomic_retrying
def _price_some(nodes: Sequence[int] | None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            REPRICE,
            {
                "nodes": None if nodes is None else list(nodes),
                "ahead": AHEAD_S,
                "batch": BATCH,
                "mwh_per_kwh": MWH_PER_KWH,
            },
        )
        changed: int = cursor.rowcount
        return changed
