"""Owners under suspicion: one of their payouts was reversed for fraud.

Their other payouts are held until operators release each of them. A payout that was reversed in Stripe's dashboard, so
that we do not know the cause, counts as fraud.
"""

from django.db import connection, transaction
from django.utils import timezone

from accounts.access import audit
from billing.models import Payout

REASON = "An earlier payout was taken back."
# SQL condition on a payout p: its owner is under suspicion, and operators have not released this payout.
HELD_BACK = f"""p.released_at IS NULL AND EXISTS (
    SELECT FROM billing_payout s
     WHERE s.owner_id = p.owner_id AND s.reverse_cause IN ({", ".join(f"'{cause}'" for cause in Payout.SUSPICIOUS)}))"""
HOLD = f"""
UPDATE billing_payout w SET held_at = %s, held_reason = %s, status_code = 'held'
  FROM (SELECT p.id FROM billing_payout p WHERE p.status = 'scheduled' AND p.held_at IS NULL AND {HELD_BACK}
         ORDER BY p.id FOR UPDATE SKIP LOCKED) due
 WHERE w.id = due.id
 RETURNING w.public_id
"""  # noqa: S608 - our own words


def hold() -> int:
    """Hold the scheduled payouts of owners under suspicion, unless operators have released them. Return their number.

    Safe in many processes at once: a payout that another transaction has locked is skipped. It is not sent meanwhile,
    since `payouts.REASON` applies the same condition.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(HOLD, [timezone.now(), REASON])
        held = [row[0] for row in cursor]
        for public_id in held:
            audit.record(actor=None, action="payout.hold", subject=public_id, reason=REASON)
    return len(held)
