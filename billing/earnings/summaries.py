"""The monthly mail to owners who want it: what their vehicles earned in the last calendar month of their own time zone.

The figures come from RatedUsage, since EarningsDay has days of UTC only; usage that was voided meanwhile is left out.
An owner who has a statement of that month gets the same figures with the statement's mail. So this mail is queued after
the statements are closed, and only for owners without one.
"""

from django.conf import settings
from django.db import connection, transaction

from accounts.mails import outbox
from accounts.mails.sql import queue_from

CLOSING_H = 24  # hours after the grace period within which all statements have been made

# A time zone that this PostgreSQL does not know counts as UTC: one such owner must not stop everybody's mail.
SUMMARIZE = queue_from("""
WITH months AS (
    SELECT o.id, o.user_id, o.currency, COALESCE(z.name, 'UTC') AS zone,
           date_trunc('month', now() AT TIME ZONE COALESCE(z.name, 'UTC')) AS month_end
      FROM accounts_owner o LEFT JOIN pg_timezone_names z ON z.name = o.time_zone
     WHERE o.deactivated_at IS NULL AND o.erased_at IS NULL AND NOT o.mails_off ? 'earnings-summary'),
due AS (
    SELECT m.*, m.month_end - interval '1 month' AS month_start,
           'earnings-summary:' || m.id || ':' || to_char(m.month_end - interval '1 month', 'YYYY-MM') AS key
      FROM months m)
SELECT d.user_id, 'earnings-summary' AS kind,
       jsonb_build_object('from_on', d.month_start::date, 'to_on', d.month_end::date - 1, 'currency', d.currency,
                          'attempts', e.attempts, 'compute_ms', e.compute_ms, 'energy_mwh', e.energy_mwh,
                          'gross_micro', e.gross, 'energy_cost_micro', e.energy, 'wear_micro', e.wear,
                          'net_micro', e.gross - e.energy - e.wear) AS context,
       d.key AS dedupe_key
  FROM due d
  JOIN LATERAL (
    SELECT count(*) AS attempts, sum(u.compute_ms)::bigint AS compute_ms, sum(u.energy_mwh)::bigint AS energy_mwh,
           sum(r.owner_micro)::bigint AS gross, billing_round_half_even(sum(r.energy_cost_nano), 1000) AS energy,
           billing_round_half_even(sum(r.wear_nano), 1000) AS wear
      FROM accounts_vehicle v
      JOIN compute_usagerecord u ON u.vehicle_id = v.id
      JOIN billing_ratedusage r ON r.usage_id = u.id
      JOIN billing_joborder o ON o.id = r.order_id
      JOIN billing_ratecard c ON c.id = o.rate_card_id AND c.currency = d.currency
     WHERE v.owner_id = d.id AND u.owner_id = d.id
       AND NOT EXISTS (SELECT FROM billing_usagevoid x WHERE x.rated_id = r.id AND x.settled_at IS NOT NULL)
       AND r.created_at >= d.month_start AT TIME ZONE d.zone AND r.created_at < d.month_end AT TIME ZONE d.zone) e
    ON e.attempts > 0
 WHERE now() >= (d.month_end AT TIME ZONE 'UTC') + make_interval(hours => %s)
   AND NOT EXISTS (SELECT FROM accounts_mail m WHERE m.dedupe_key = d.key)
   AND NOT EXISTS (SELECT FROM billing_statement s
                    WHERE s.owner_id = d.id AND s.currency = d.currency AND s.attempts > 0
                      AND s.period_end_at > d.month_start AT TIME ZONE 'UTC'
                      AND s.period_start_at < d.month_end AT TIME ZONE 'UTC')
""")


@transaction.atomic
def summarize() -> int:
    """Queue last month's mail for every owner who wants it, earned something and has not had it yet.

    Returns the number of mails. Repeatable: the dedupe key names owner and month.
    """
    with connection.cursor() as cursor:
        cursor.execute(SUMMARIZE, [settings.STATEMENT_GRACE_H + CLOSING_H])
        count: int = cursor.rowcount
    if count:
        outbox.wake()
    return count
