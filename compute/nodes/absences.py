"""Absences: an owner gets a mail, once for each absence, when a car has not synced for a day."""

from django.db import connection, transaction

from accounts.mails import outbox
from accounts.mails.sql import queue_from

AFTER_H, UNTIL_H = 24, 8 * 24

# The deduplication key has the time of the last sync, so each absence causes one mail. Only cars with consent to run
# jobs count, and none whose absence is older than UNTIL_H: a mail so late would only confuse.
QUEUE_MAILS = queue_from("""
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
def queue_mails() -> int:
    """Queue a mail for every car whose last sync is a day old or more. Return how many mails are new."""
    with connection.cursor() as cursor:
        cursor.execute(QUEUE_MAILS, [AFTER_H, UNTIL_H])
        count: int = cursor.rowcount
    if count:
        outbox.wake()
    return count
