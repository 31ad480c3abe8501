"""SQL that closes the statements of a chunk of owners. See statements.py for the rules."""

from accounts.mails.sql import queue_from

# In PAYOUTS and MAILS, %(made)s are the ids of the statements that STATEMENTS has made.

# Lock all accounts of these owners, in the order in which every posting locks accounts (no deadlock). Until the
# transaction ends, nothing can be posted on them.
LOCK = """
SELECT id FROM billing_ledgeraccount WHERE owner_id = ANY(%(owners)s) ORDER BY id FOR NO KEY UPDATE
"""

# Make the statements, their entries and their lines from all transfers that are on no statement yet.
#
# Such a transfer was posted after the end of the last statement's period: a transfer that counts for a later time
# (effective_at) is posted later, and a late transfer was posted after that statement was made, which is after its
# period. So `open` reads only transfers since that end, less a day in case clocks differ. One statement reads
# everything once, so that the plan does not depend on the planner's estimates of table sizes: transfers are found by
# account and time, never by reading the whole history, and become entries through arrays, never through a large join.
STATEMENTS = """
WITH last AS (
    SELECT DISTINCT ON (s.owner_id, s.currency) s.owner_id, s.currency, s.period_end_at, s.carried_micro
      FROM billing_statement s WHERE s.owner_id = ANY(%(owners)s)
     ORDER BY s.owner_id, s.currency, s.period_start_at DESC
), accounts AS (
    SELECT a.id, a.owner_id, a.currency, l.period_end_at, COALESCE(l.carried_micro, 0) AS opening_micro,
           COALESCE(l.period_end_at - interval '1 day', '-infinity') AS posted_since_at
      FROM billing_ledgeraccount a
      LEFT JOIN last l ON l.owner_id = a.owner_id AND l.currency = a.currency
     WHERE a.kind = 'payable' AND a.id = ANY(%(locked)s)  -- an account opened since LOCK is not locked: later
       AND (l.period_end_at IS NULL OR l.period_end_at < %(until)s::timestamptz)
), open AS MATERIALIZED (
    SELECT a.id AS account_id, t.*
      FROM accounts a CROSS JOIN LATERAL (
           SELECT id AS transfer_id, kind, effective_at, meta, amount_micro AS signed_micro
             FROM billing_ledgertransfer WHERE credit_id = a.id AND posted_at >= a.posted_since_at
           UNION ALL SELECT id, kind, effective_at, meta, -amount_micro
             FROM billing_ledgertransfer WHERE debit_id = a.id AND posted_at >= a.posted_since_at) t
     WHERE t.effective_at < %(until)s::timestamptz
       AND NOT EXISTS (SELECT FROM billing_statemententry e WHERE e.transfer_id = t.transfer_id)
), sums AS (
    SELECT account_id, min(effective_at) AS first_at,
           array_agg(transfer_id) AS transfers, array_agg(signed_micro) AS amounts,
           COALESCE(sum(signed_micro) FILTER (WHERE kind IN ('share', 'verification')), 0)::bigint AS earned,
           COALESCE(sum(signed_micro) FILTER (WHERE kind IN ('correction', 'adjustment', 'reversal')), 0)::bigint
               AS corrected,
           COALESCE(sum(signed_micro) FILTER (WHERE kind IN ('reserve', 'return', 'transfer')), 0)::bigint AS other
      FROM open GROUP BY account_id
), worked AS MATERIALIZED (
    SELECT o.account_id, CASE o.kind WHEN 'share' THEN 'work' ELSE 'check' END AS kind,
           u.vehicle_id, u.hardware_class_id,
           (date_trunc('month', u.created_at, 'UTC') AT TIME ZONE 'UTC')::date AS month, count(*) AS attempts,
           sum(u.compute_ms)::bigint AS compute_ms, sum(u.energy_mwh)::bigint AS energy_mwh,
           sum(r.owner_micro)::bigint AS amount_micro, sum(r.energy_cost_nano)::bigint AS energy_cost_nano,
           sum(r.wear_nano)::bigint AS wear_nano
      FROM open o JOIN billing_ratedusage r ON r.owner_transfer_id = o.transfer_id
      JOIN compute_usagerecord u ON u.id = r.usage_id
     WHERE o.kind IN ('share', 'verification')
     GROUP BY 1, 2, 3, 4, 5
), work AS (
    SELECT account_id, sum(attempts)::bigint AS attempts, sum(compute_ms)::bigint AS compute_ms,
           sum(energy_mwh)::bigint AS energy_mwh, sum(energy_cost_nano)::bigint AS energy_cost_nano,
           sum(wear_nano)::bigint AS wear_nano
      FROM worked GROUP BY account_id
), totals AS (
    SELECT a.*, s.first_at, COALESCE(s.earned, 0) AS earned, COALESCE(s.corrected, 0) AS corrected,
           COALESCE(s.other, 0) AS other,
           a.opening_micro + COALESCE(s.earned, 0) + COALESCE(s.corrected, 0) + COALESCE(s.other, 0) AS gross,
           w.erased_at IS NULL AS may_be_paid, c.coin
      FROM accounts a JOIN accounts_owner w ON w.id = a.owner_id
      LEFT JOIN sums s ON s.account_id = a.id
      LEFT JOIN unnest(%(currencies)s::text[], %(coins)s::bigint[]) AS c(currency, coin) ON c.currency = a.currency
), due AS (
    SELECT t.*, CASE WHEN t.may_be_paid AND t.gross >= GREATEST(%(minimum)s, t.coin)
                     THEN t.gross - mod(t.gross, t.coin) ELSE 0 END AS paid_out
      FROM totals t
), made AS (
    INSERT INTO billing_statement
           (public_id, created_at, owner_id, number, currency, period_start_at, period_end_at,
            opening_micro, earned_micro, corrected_micro, other_micro, paid_out_micro, carried_micro,
            energy_cost_nano, wear_nano, compute_ms, energy_mwh, attempts)
    SELECT gen_random_uuid(), now(), d.owner_id,
           COALESCE((SELECT max(number) FROM billing_statement s WHERE s.owner_id = d.owner_id), 0)
               + row_number() OVER (PARTITION BY d.owner_id ORDER BY d.currency),
           d.currency, COALESCE(d.period_end_at, date_trunc('month', d.first_at, 'UTC')), %(until)s,
           d.opening_micro, d.earned, d.corrected, d.other, d.paid_out, d.gross - d.paid_out,
           COALESCE(w.energy_cost_nano, 0), COALESCE(w.wear_nano, 0),
           COALESCE(w.compute_ms, 0), COALESCE(w.energy_mwh, 0), COALESCE(w.attempts, 0)
      FROM due d LEFT JOIN work w ON w.account_id = d.id
     WHERE d.first_at IS NOT NULL OR d.paid_out > 0
    RETURNING id, owner_id, currency, paid_out_micro, period_start_at
), stated AS MATERIALIZED (
    SELECT m.id, a.id AS account_id, m.period_start_at
      FROM made m JOIN accounts a ON a.owner_id = m.owner_id AND a.currency = m.currency
), entries AS (
    INSERT INTO billing_statemententry (statement_id, transfer_id, amount_micro)
    SELECT s.id, t.transfer_id, t.amount_micro
      FROM stated s JOIN sums m ON m.account_id = s.account_id
     CROSS JOIN LATERAL unnest(m.transfers, m.amounts) AS t(transfer_id, amount_micro)
), lines AS (
    INSERT INTO billing_statementline
           (statement_id, kind, vehicle_id, hardware_class_id, service_month, is_late, attempts, compute_ms, energy_mwh,
            amount_micro, energy_cost_nano, wear_nano, note)
    SELECT s.id, w.kind, w.vehicle_id, w.hardware_class_id, w.month,
           w.month < (date_trunc('month', s.period_start_at, 'UTC') AT TIME ZONE 'UTC')::date, w.attempts, w.compute_ms,
           w.energy_mwh, w.amount_micro, w.energy_cost_nano, w.wear_nano, ''
      FROM worked w JOIN stated s ON s.account_id = w.account_id
    UNION ALL
    SELECT s.id, CASE WHEN o.kind IN ('correction', 'reversal') THEN 'correction'
                      WHEN o.kind = 'adjustment' THEN 'adjustment'
                      WHEN o.kind = 'reserve' THEN 'reserve' ELSE 'return' END,
           NULL, NULL, (date_trunc('month', o.effective_at, 'UTC') AT TIME ZONE 'UTC')::date,
           o.effective_at < s.period_start_at, 0, 0, 0, o.signed_micro, 0, 0,
           left(COALESCE(o.meta ->> 'note', CASE WHEN o.meta ? 'void' THEN 'Work taken back' ELSE '' END), 200)
      FROM open o JOIN stated s ON s.account_id = o.account_id
     WHERE o.kind NOT IN ('share', 'verification')
     ORDER BY 1, 5, 2, 3, 4
)
SELECT id, owner_id, currency, paid_out_micro FROM made
"""

# Post each payout: debit payable, credit in_transit. Both accounts exist (statements.py opens them before).
PAYOUTS = """
WITH due AS (
    SELECT s.*, p.id AS payable_id, i.id AS in_transit_id
      FROM billing_statement s
      JOIN billing_ledgeraccount p ON p.kind = 'payable' AND p.owner_id = s.owner_id AND p.currency = s.currency
      JOIN billing_ledgeraccount i ON i.kind = 'in_transit' AND i.owner_id = s.owner_id AND i.currency = s.currency
     WHERE s.id = ANY(%(made)s) AND s.paid_out_micro > 0
), posted AS (
    INSERT INTO billing_ledgertransfer (kind, debit_id, credit_id, amount_micro, currency, idempotency_key, meta)
    SELECT 'payout', payable_id, in_transit_id, paid_out_micro, currency, 'payout:' || public_id,
           jsonb_build_object('statement', public_id)
      FROM due
    RETURNING id, idempotency_key
)
SELECT d.id, d.owner_id, d.paid_out_micro, d.currency, d.period_end_at, t.id
  FROM due d JOIN posted t ON t.idempotency_key = 'payout:' || d.public_id ORDER BY d.id
"""

# An owner who wants the monthly summary gets its figures in this mail (`with_summary`): one mail a month, not two
# (billing/earnings/summaries.py leaves these owners out).
MAILS = queue_from("""
SELECT o.user_id, 'statement-ready' AS kind,
       jsonb_build_object('statement', s.public_id, 'number', s.number, 'currency', s.currency,
                          'earned_micro', s.earned_micro,
                          'paid_out_micro', s.paid_out_micro, 'carried_micro', s.carried_micro,
                          'minimum_micro', %(minimum)s::bigint,
                          'from_on', (s.period_start_at AT TIME ZONE 'UTC')::date,
                          'to_on', ((s.period_end_at - interval '1 microsecond') AT TIME ZONE 'UTC')::date,
                          'due_on', (p.due_at AT TIME ZONE 'UTC')::date,
                          'can_be_paid', EXISTS (SELECT FROM billing_connectedaccount a
                                                  WHERE a.owner_id = o.id AND a.status = 'active'),
                          'with_summary', s.attempts > 0 AND NOT o.mails_off ? 'earnings-summary')
       || jsonb_build_object('attempts', s.attempts, 'compute_ms', s.compute_ms, 'energy_mwh', s.energy_mwh,
                             'energy_cost_micro', c.energy, 'wear_micro', c.wear,
                             'net_micro', s.earned_micro - c.energy - c.wear) AS context,
       'statement-ready:' || s.id AS dedupe_key
  FROM billing_statement s JOIN accounts_owner o ON o.id = s.owner_id
  LEFT JOIN billing_payout p ON p.statement_id = s.id
 CROSS JOIN LATERAL (SELECT billing_round_half_even(s.energy_cost_nano, 1000) AS energy,
                            billing_round_half_even(s.wear_nano, 1000) AS wear) c
 WHERE s.id = ANY(%(made)s) AND o.erased_at IS NULL AND o.deactivated_at IS NULL
""")
