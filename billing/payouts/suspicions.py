"""Owners whose payout was fetched back for fraud: what else they are due is held until operators let each of it go.

A payout that came back in Stripe's dashboard, for a reason that nobody told us, counts as one of fraud.
"""

from django.db import connection, transaction
from django.utils import timezone

from accounts.access import audit
from billing.models import Payout

REASON = "An earlier payout was taken back."
# Of a payout p: its owner is suspected, and nobody has let it go.
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
    """Hold what is due to them and was not let go. How many payouts. May run twice, at once: what somebody else has locked is
    theirs to hold, and is not sent in the meantime (payouts.REASON).
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(HOLD, [timezone.now(), REASON])
        held = [row[0] for row in cursor]
        for public_id in held:
            audit.record(actor=None, action="payout.hold", subject=public_id, reason=REASON)
    return len(held)
