"""Cars that have not been heard of: their owners are told, once each time."""

from django.db import connection, transaction

from accounts.mails import outbox
from accounts.mails.sql import queue_from

AFTER_H, UNTIL_H = 24, 8 * 24

# An episode is named by when the node was last heard of. Only cars that their owner wants at work, and none that have been
# away so long that nobody would understand why they are told now.
TELL = queue_from("""
SELECT o.user_id, 'vehicle-away' AS kind,
       jsonb_build_object('vehicle', v.public_id, 'heard_at', date_trunc('second', p.last_sync_at)) AS context,
       'vehicle-away:' || n.id || ':' || floor(extract(epoch FROM p.last_sync_at)) AS dedupe_key
  FROM compute_nodepresence p
  JOIN compute_node n ON n.id = p.node_id AND n.status = 'active'
  JOIN accounts_vehicle v ON v.id = n.vehicle_id AND v.retired_at IS NULL
  JOIN accounts_owner o ON o.id = v.owner_id AND o.deactivated_at IS NULL
 WHERE p.last_sync_at <= now() - make_interval(hours => %s) AND p.last_sync_at > now() - make_interval(hours => %s)
   AND accounts_consent_in_force(v.id, 'run_jobs')
""")


@transaction.atomic
def tell() -> int:
    """Queue a mail for every car that was last heard of a day ago or more. Returns how many new ones."""
    with connection.cursor() as cursor:
        cursor.execute(TELL, [AFTER_H, UNTIL_H])
        count: int = cursor.rowcount
    if count:
        outbox.wake()
    return count
