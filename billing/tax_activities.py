"""Which jobs a year's payouts pay for, and what the platform kept of them: what DAC7 asks for beside the payments.

Council Directive (EU) 2021/514 (DAC7), Annex V, section III B 2, has a platform report of each seller "the total Consideration
paid or credited during each quarter", "the number of Relevant Activities in respect of which it was paid or credited", and "any
fees, commissions or taxes withheld or charged" during each quarter; section I A 10: Consideration is net of those. The DPI
schema names them ConsQ1 to ConsQ4, NumbQ1 and FeesQ1 likewise. Not payments are counted, but what they are for.

Ours are read so (whether computing in a car is a Relevant Activity at all, an adviser must say):
- Consideration: payouts, by the day of the transfer, without the platform's part.
- Relevant Activity: a customer's job that the owner's cars worked for, since that is what a user asks for; units are our own way
  of cutting it up. A job paid for in two quarters counts in both: in respect of it something was paid in both. Within one quarter
  it counts once, whatever number of units, cars and payouts. A job that pays nothing does not count.
- Fees: the platform's part of what customers paid for that work, less that of work that was taken back. What was withheld from
  a payout itself is a figure of its own.

A payout pays for its own statement and for those before it that were carried without one, or whose payout came back. Where one
was taken back, its jobs and fees are taken off in the quarter of that.
"""

# Payouts of the year, and those taken back in it.
MOVES = """moves AS (
    SELECT x.*, extract(quarter FROM x.at AT TIME ZONE 'UTC')::int AS quarter
      FROM (SELECT p.owner_id, p.currency, p.statement_id, p.account_id, p.paid_at AS at, 1 AS sign, p.amount_micro,
                   t.amount_micro AS sent_micro
              FROM billing_payout p JOIN billing_ledgertransfer t ON t.id = p.sent_id
             WHERE p.status IN ('paid', 'reversed') AND p.paid_at >= %(since)s AND p.paid_at < %(until)s
               AND (%(owner)s::bigint IS NULL OR p.owner_id = %(owner)s)
            UNION ALL
            SELECT p.owner_id, p.currency, p.statement_id, p.account_id, e.at, -1, p.amount_micro, t.amount_micro
              FROM billing_payoutevent e JOIN billing_payout p ON p.id = e.payout_id
              JOIN billing_ledgertransfer t ON t.id = p.sent_id
             WHERE e.to_status = 'reversed' AND p.status = 'reversed' AND e.at >= %(since)s AND e.at < %(until)s
               AND (%(owner)s::bigint IS NULL OR p.owner_id = %(owner)s)) x)"""

# From each payout back to its statements, their entries, and the work beneath; all by index.
ACTIVITIES = """
    SELECT c.owner_id, c.currency, c.quarter,
           count(DISTINCT c.job) FILTER (WHERE c.sign = 1) - count(DISTINCT c.job) FILTER (WHERE c.sign = -1) AS activities,
           COALESCE(sum(c.sign * c.fee_micro), 0)::bigint AS fees_micro
      FROM (SELECT m.owner_id, m.currency, m.quarter, m.sign,
                   CASE WHEN t.kind <> 'correction' THEN t.meta ->> 'order' END AS job,
                   CASE t.kind
                   WHEN 'share' THEN (SELECT sum(r.platform_micro) FROM billing_ratedusage r WHERE r.owner_transfer_id = t.id)
                   WHEN 'correction' THEN -(SELECT r.platform_micro FROM billing_ratedusage r
                                              JOIN billing_ledgertransfer w ON w.id = r.owner_transfer_id AND w.kind = 'share'
                                             WHERE r.id = (t.meta ->> 'rated')::bigint)
                   END AS fee_micro
              FROM moves m
              JOIN billing_statement last ON last.id = m.statement_id
              JOIN billing_statement s ON s.owner_id = m.owner_id AND s.currency = m.currency
                                      AND s.period_end_at <= last.period_end_at
              JOIN billing_statemententry e ON e.statement_id = s.id
              JOIN billing_ledgertransfer t ON t.id = e.transfer_id AND t.kind IN ('share', 'verification', 'correction')
             WHERE NOT EXISTS (SELECT FROM billing_payout q JOIN billing_statement b ON b.id = q.statement_id
                                WHERE b.owner_id = m.owner_id AND b.currency = m.currency AND q.status <> 'returned'
                                  AND b.period_end_at >= s.period_end_at AND b.period_end_at < last.period_end_at)) c
     GROUP BY 1, 2, 3"""
