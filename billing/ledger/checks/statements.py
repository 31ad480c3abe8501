"""Checks of statements against what owners are owed, and of payouts."""

# The columns of a statement are the sums of its entries, and the balance carried on is the opening balance plus all of
# them.
STATEMENT_COLUMNS = """
SELECT 'statement ' || s.public_id || ' ' || c.name, c.expected, c.actual
  FROM billing_statement s
  LEFT JOIN (SELECT e.statement_id,
                    sum(e.amount_micro) FILTER (WHERE t.kind IN ('share', 'verification')) AS earned,
                    sum(e.amount_micro) FILTER (WHERE t.kind IN ('correction', 'adjustment', 'reversal')) AS corrected,
                    -sum(e.amount_micro) FILTER (WHERE t.kind = 'payout') AS paid_out, sum(e.amount_micro) AS total
               FROM billing_statemententry e JOIN billing_ledgertransfer t ON t.id = e.transfer_id GROUP BY 1) e
    ON e.statement_id = s.id
 CROSS JOIN LATERAL (VALUES
      ('earned', COALESCE(e.earned, 0), s.earned_micro),
      ('corrected', COALESCE(e.corrected, 0), s.corrected_micro),
      ('paid out', COALESCE(e.paid_out, 0), s.paid_out_micro),
      ('carried', s.opening_micro + COALESCE(e.total, 0), s.carried_micro)) AS c (name, expected, actual)
 WHERE c.expected <> c.actual
"""
# An entry is a transfer on the owner's `payable` account, with the sign that it has there.
STATEMENT_ENTRIES = """
SELECT 'statement ' || s.public_id || ' transfer ' || e.transfer_id, COALESCE(o.micro, 0), e.amount_micro
  FROM billing_statemententry e JOIN billing_statement s ON s.id = e.statement_id
  LEFT JOIN owed o ON o.id = e.transfer_id AND o.owner_id = s.owner_id AND o.currency = s.currency
 WHERE o.micro IS DISTINCT FROM e.amount_micro
"""
STATEMENT_LINES = """
SELECT 'statement ' || s.public_id, s.earned_micro + s.corrected_micro + s.other_micro, COALESCE(l.micro, 0)
  FROM billing_statement s
  LEFT JOIN (SELECT statement_id, sum(amount_micro) AS micro FROM billing_statementline GROUP BY 1) l
    ON l.statement_id = s.id
 WHERE s.earned_micro + s.corrected_micro + s.other_micro <> COALESCE(l.micro, 0)
"""
# A statement opens with the balance that the previous one carried, and its period begins when the previous one ended
# (the amounts are then milliseconds).
STATEMENT_CHAIN = """
SELECT 'statement ' || s.public_id || ' ' || c.name, c.expected, c.actual
  FROM (SELECT *, lag(carried_micro) OVER w AS before_micro, lag(period_end_at) OVER w AS before_at
          FROM billing_statement WINDOW w AS (PARTITION BY owner_id, currency ORDER BY period_start_at)) s
 CROSS JOIN LATERAL (VALUES
      ('opening', COALESCE(s.before_micro, 0), s.opening_micro),
      ('begins', 0, COALESCE(extract(epoch FROM s.period_start_at - s.before_at) * 1000, 0)::bigint)
      ) AS c (name, expected, actual)
 WHERE c.expected <> c.actual
"""
# The balance of `payable` is what the last statement carried, plus the transfers on no statement yet.
PAYABLES_STATED = """
SELECT a.key, COALESCE(l.carried_micro, 0) + COALESCE(n.micro, 0), a.balance_micro
  FROM billing_ledgeraccount a
  LEFT JOIN last_statement l ON l.owner_id = a.owner_id AND l.currency = a.currency
  LEFT JOIN (SELECT o.owner_id, o.currency, sum(o.micro) AS micro FROM owed o
              WHERE NOT EXISTS (SELECT FROM billing_statemententry e WHERE e.transfer_id = o.id) GROUP BY 1, 2) n
    ON n.owner_id = a.owner_id AND n.currency = a.currency
 WHERE a.kind = 'payable' AND a.balance_micro <> COALESCE(l.carried_micro, 0) + COALESCE(n.micro, 0)
"""
# Every transfer of a stated period that was posted before the statement was made is on a statement. The five minutes
# leave out a posting that was under way at that moment: it may be on the next one.
STATEMENTS_WHOLE = """
SELECT 'statement ' || l.public_id || ' transfer ' || o.id, o.micro, 0
  FROM owed o JOIN last_statement l ON l.owner_id = o.owner_id AND l.currency = o.currency
 WHERE o.effective_at < l.period_end_at AND o.posted_at < l.created_at - interval '5 minutes'
   AND NOT EXISTS (SELECT FROM billing_statemententry e WHERE e.transfer_id = o.id)
"""
# What a statement pays out has its payout, and every payout has the transfers that its state requires.
PAYOUTS = """
SELECT 'statement ' || s.public_id || ' payout', s.paid_out_micro, COALESCE(p.amount_micro, 0)
  FROM billing_statement s LEFT JOIN billing_payout p ON p.statement_id = s.id
 WHERE s.paid_out_micro <> COALESCE(p.amount_micro, 0)
UNION ALL
SELECT 'payout ' || p.public_id || ' ' || c.name, c.expected, c.actual
  FROM billing_payout p JOIN billing_statement s ON s.id = p.statement_id
  LEFT JOIN billing_ledgertransfer posting
    ON posting.id = p.posting_id AND posting.idempotency_key = 'payout:' || s.public_id AND posting.kind = 'payout'
  LEFT JOIN billing_ledgertransfer sent
    ON sent.id = p.sent_id AND sent.idempotency_key = 'payout:' || p.public_id || ':sent' AND sent.kind = 'transfer'
  LEFT JOIN billing_ledgertransfer back
    ON back.id = p.returned_id AND back.idempotency_key = 'payout:' || p.public_id || ':returned'
   AND back.kind = 'return'
  LEFT JOIN billing_ledgertransfer taken
    ON taken.idempotency_key = 'payout:' || p.public_id || ':reversed' AND taken.kind = 'transfer'
 CROSS JOIN LATERAL (VALUES
      ('posted', p.amount_micro, COALESCE(posting.amount_micro, 0)),
      ('sent', CASE WHEN p.status IN ('paid', 'reversed') THEN p.amount_micro ELSE 0 END,
       COALESCE(sent.amount_micro, 0)),
      ('returned', CASE WHEN p.status = 'returned' THEN p.amount_micro ELSE 0 END, COALESCE(back.amount_micro, 0)),
      ('taken back', CASE WHEN p.status = 'reversed' THEN p.amount_micro ELSE 0 END, COALESCE(taken.amount_micro, 0))
      ) AS c (name, expected, actual)
 WHERE c.expected <> c.actual
"""
# A transfer of the kind `transfer` is part of an owner's payout, or Stripe's payment to our own bank
# (checks/stripe.py).
PAYOUTS_MISSING = """
SELECT 'transfer ' || t.id, 0, t.amount_micro FROM billing_ledgertransfer t
 WHERE t.kind = 'payout' AND NOT EXISTS (SELECT FROM billing_payout p WHERE p.posting_id = t.id)
    OR t.kind = 'return' AND NOT EXISTS (SELECT FROM billing_payout p WHERE p.returned_id = t.id)
    OR t.kind = 'transfer' AND NOT EXISTS (SELECT FROM billing_payout p WHERE p.sent_id = t.id)
       AND NOT EXISTS (SELECT FROM billing_payout p WHERE t.idempotency_key = 'payout:' || p.public_id || ':reversed'
                                                      AND p.status = 'reversed')
       AND NOT EXISTS (SELECT FROM billing_balancetransaction b
                        WHERE t.idempotency_key = 'stripe_payout:' || b.stripe_id)
"""
IN_TRANSIT = """
SELECT COALESCE(a.key, 'owner ' || p.owner_id), COALESCE(p.micro, 0), COALESCE(a.balance_micro, 0)
  FROM (SELECT * FROM billing_ledgeraccount WHERE kind = 'in_transit') a
  FULL JOIN (SELECT owner_id, currency, sum(amount_micro) AS micro FROM billing_payout
              WHERE status IN ('scheduled', 'sending') GROUP BY 1, 2) p
    ON p.owner_id = a.owner_id AND p.currency = a.currency
 WHERE COALESCE(p.micro, 0) <> COALESCE(a.balance_micro, 0)
"""

CHECKS = {
    "statement_columns": ("a statement = its entries", STATEMENT_COLUMNS),
    "statement_entries": ("a statement's entry is a transfer of its owner", STATEMENT_ENTRIES),
    "statement_lines": ("a statement's lines = its columns", STATEMENT_LINES),
    "statement_chain": ("a statement begins where the last one ended", STATEMENT_CHAIN),
    "statements_whole": ("no transfer of a stated period is missing", STATEMENTS_WHOLE),
    "payables_stated": ("owed = carried by last statement + moved since", PAYABLES_STATED),
    "payouts": ("a payout = its postings", PAYOUTS),
    "payouts_missing": ("a posting of a payout has its payout", PAYOUTS_MISSING),
    "in_transit": ("in transit = payouts not sent yet", IN_TRANSIT),
}
WITH = {
    # Every transfer on an owner's `payable` account, signed as it changes what is owed.
    "owed": """
    SELECT t.id, t.effective_at, t.posted_at, a.owner_id, a.currency, t.amount_micro AS micro
      FROM billing_ledgeraccount a JOIN billing_ledgertransfer t ON t.credit_id = a.id WHERE a.kind = 'payable'
    UNION ALL
    SELECT t.id, t.effective_at, t.posted_at, a.owner_id, a.currency, -t.amount_micro
      FROM billing_ledgeraccount a JOIN billing_ledgertransfer t ON t.debit_id = a.id WHERE a.kind = 'payable'
    """,
    "last_statement": """
    SELECT DISTINCT ON (owner_id, currency) * FROM billing_statement ORDER BY owner_id, currency, period_start_at DESC
    """,
}
