"""The mail about a card that expires soon, if an automatic recharge uses it.

It goes to the customer's admins and finance.
"""

from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from accounts.mails import outbox
from accounts.mails.sql import queue_from
from billing.topups.words import EXPIRY_NOTICE

# The dedupe key contains the expiry date: one mail for each person, card and date, and another after a renewal.
QUEUE_MAILS = queue_from("""
WITH expiring AS (
    SELECT c.id, c.brand, c.last4, c.exp_month, c.exp_year, o.id AS organization_id, o.name,
           make_timestamptz(c.exp_year, c.exp_month, 1, 0, 0, 0, 'UTC') + interval '1 month' AS ends_at
      FROM billing_autorecharge r
      JOIN billing_savedcard c ON c.id = r.card_id AND c.status = 'active' AND c.exp_year IS NOT NULL
      JOIN accounts_organization o ON o.id = r.organization_id
     WHERE r.is_on),
due AS (
    SELECT m.user_id, e.*,
           'card-expiring:' || e.id || ':' || e.exp_year || '-' || e.exp_month || ':' || m.user_id AS key
      FROM expiring e
      JOIN accounts_membership m ON m.organization_id = e.organization_id AND m.role IN ('admin', 'finance')
      JOIN accounts_user u ON u.id = m.user_id AND u.is_active
     WHERE e.ends_at > %(now)s AND e.ends_at <= %(soon)s)
SELECT user_id, 'card-expiring' AS kind,
       jsonb_build_object('organization', name, 'brand', brand, 'last4', last4,
                          'month', exp_month, 'year', exp_year) AS context,
       key AS dedupe_key FROM due
""")


@transaction.atomic
def mail_expiring(now: datetime | None = None) -> int:
    """Queue a mail, once for each card and expiry date, thirty days before the expiry.

    Return how many mails were queued.
    """
    at = now or timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(QUEUE_MAILS, {"now": at, "soon": at + EXPIRY_NOTICE})
        count: int = cursor.rowcount
    if count:
        outbox.wake()
    return count
