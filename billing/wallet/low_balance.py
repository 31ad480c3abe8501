"""The mail about a low wallet: once each time that the available balance falls below the customer's threshold."""

from django.db import connection, transaction

from accounts.mails import outbox
from accounts.mails.sql import queue_from

# The available balance of organization `o`.
AVAILABLE_BALANCE = """(SELECT COALESCE(sum(a.balance_micro), 0)::bigint FROM billing_ledgeraccount a
            WHERE a.organization_id = o.id AND a.currency = o.currency AND a.kind IN ('wallet', 'promo_wallet'))"""
# Above the threshold again, or without one: the next fall is mailed again.
RESET_RECOVERED = f"""
UPDATE billing_billingprofile p SET low_balance_mailed_at = NULL FROM accounts_organization o
 WHERE o.id = p.organization_id AND p.low_balance_mailed_at IS NOT NULL
   AND (p.low_balance_micro IS NULL OR {AVAILABLE_BALANCE} >= p.low_balance_micro)
"""  # noqa: S608 - constants only
# The dedupe key contains the time of the fall, so that each fall is mailed once to each person.
MAILS = queue_from("""
    SELECT m.user_id, 'balance-low' AS kind,
           jsonb_build_object('organization', t.name, 'currency', t.currency, 'free_micro', t.free_micro,
                              'threshold_micro', t.low_balance_micro) AS context,
           'balance-low:' || t.organization_id || ':' || extract(epoch FROM t.at) || ':' || m.user_id AS dedupe_key
      FROM fallen t
      JOIN accounts_membership m ON m.organization_id = t.organization_id AND m.role IN ('admin', 'finance')
      JOIN accounts_user u ON u.id = m.user_id AND u.is_active
""")
# Two concurrent runs skip each other's rows.
MAIL_LOW_WALLETS = f"""
WITH low AS (
    SELECT p.id, p.low_balance_micro, o.id AS organization_id, o.name, o.currency, {AVAILABLE_BALANCE} AS free_micro
      FROM billing_billingprofile p JOIN accounts_organization o ON o.id = p.organization_id
     WHERE p.low_balance_mailed_at IS NULL AND p.low_balance_micro IS NOT NULL
       AND {AVAILABLE_BALANCE} < p.low_balance_micro
     ORDER BY p.id LIMIT %s FOR UPDATE OF p SKIP LOCKED),
fallen AS (
    UPDATE billing_billingprofile p SET low_balance_mailed_at = clock_timestamp() FROM low
     WHERE low.id = p.id AND p.low_balance_mailed_at IS NULL
    RETURNING low.*, p.low_balance_mailed_at AS at),
mails AS ({MAILS})
SELECT count(*) FROM fallen
"""  # noqa: S608


@transaction.atomic
def mail_low(*, limit: int = 500) -> int:
    """Queue mails to the admins and finance of organizations that fell below their threshold.

    Return how many organizations. First resets those that are above their threshold again, so that the next fall is
    mailed too. May run twice, also concurrently.
    """
    with connection.cursor() as cursor:
        cursor.execute(RESET_RECOVERED)
        cursor.execute(MAIL_LOW_WALLETS, [limit])
        count = int(cursor.fetchone()[0])
    if count:
        outbox.wake()
    return count
