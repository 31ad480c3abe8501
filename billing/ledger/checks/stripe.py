"""Checks of the account `stripe_clearing` against Stripe's balance transactions, in both directions, object by object.

A balance transaction may be listed before its event reaches us, and Stripe books some movements later than it reports
them. So a movement that only Stripe has is a difference after an hour, and one that only we have after a day.
"""

# What Stripe booked, we posted. Fees and Stripe's payments to our bank have checks of their own, below.
STRIPE_BOOKED = """
SELECT 'balance transaction ' || b.stripe_id, b.sum_micro, COALESCE(p.micro, 0)
  FROM booked b
  LEFT JOIN at_stripe p ON p.source = b.source AND p.currency = b.currency AND sign(p.micro) = sign(b.amount_micro)
 WHERE b.type NOT IN ('stripe_fee', 'payout', 'payout_cancel', 'payout_failure')
   AND COALESCE(p.micro, 0) NOT IN (b.sum_micro, b.all_micro) AND b.occurred_at < now() - interval '1 hour'
"""
# What we posted, Stripe has booked.
STRIPE_UNBOOKED = """
SELECT p.subject, COALESCE(b.micro, 0), p.micro
  FROM at_stripe p
  LEFT JOIN (SELECT source, currency, sign(amount_micro) AS sign, sum(amount_micro) AS micro FROM booked
              WHERE type <> 'stripe_fee' GROUP BY 1, 2, 3) b
    ON b.source = p.source AND b.currency = p.currency AND b.sign = sign(p.micro)
 WHERE p.since_at < now() - interval '1 day' AND p.micro <> COALESCE(b.micro, 0)
"""
# Every fee is posted as our expense, under the id of its balance transaction; a fee that was returned, the other way
# round.
STRIPE_FEES = """
SELECT 'balance transaction ' || b.stripe_id, fee.micro,
       COALESCE(CASE WHEN d.kind = 'processing_fee' THEN f.amount_micro ELSE -f.amount_micro END, 0)
  FROM billing_balancetransaction b
 CROSS JOIN LATERAL (SELECT b.fee_micro - CASE WHEN b.type = 'stripe_fee' THEN b.amount_micro ELSE 0 END AS micro) fee
  LEFT JOIN billing_ledgertransfer f ON f.idempotency_key = 'stripe_fee:' || b.stripe_id AND f.kind = 'fee'
  LEFT JOIN billing_ledgeraccount d ON d.id = f.debit_id
 WHERE fee.micro <> COALESCE(CASE WHEN d.kind = 'processing_fee' THEN f.amount_micro ELSE -f.amount_micro END, 0)
"""
# What Stripe paid to our own bank is posted to `bank_clearing`, and back if the bank did not accept it.
STRIPE_PAYOUTS = """
SELECT 'balance transaction ' || b.stripe_id, b.amount_micro, COALESCE(x.micro, 0)
  FROM billing_balancetransaction b
  LEFT JOIN (SELECT t.idempotency_key,
                    CASE WHEN d.kind = 'stripe_clearing' THEN t.amount_micro ELSE -t.amount_micro END AS micro
               FROM billing_ledgertransfer t
               JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
              WHERE t.kind = 'transfer' AND (d.kind, c.kind) IN (('stripe_clearing', 'bank_clearing'),
                                                                 ('bank_clearing', 'stripe_clearing'))) x
    ON x.idempotency_key = 'stripe_payout:' || b.stripe_id
 WHERE b.type IN ('payout', 'payout_cancel', 'payout_failure') AND b.amount_micro <> COALESCE(x.micro, 0)
"""
# Every transfer on `stripe_clearing` is of a kind that the checks above, or the checks of its subject, compare with
# Stripe.
STRIPE_CLEARING = """
SELECT 'transfer ' || x.id, 0, x.amount_micro
  FROM billing_ledgertransfer x JOIN billing_ledgeraccount a ON a.id IN (x.debit_id, x.credit_id)
 WHERE a.kind = 'stripe_clearing'
   AND (x.kind NOT IN ('top_up', 'fee', 'refund', 'reversal', 'dispute', 'transfer')
     OR x.kind = 'fee' AND NOT EXISTS (SELECT FROM billing_balancetransaction b
                                        WHERE x.idempotency_key = 'stripe_fee:' || b.stripe_id)
     OR x.kind = 'reversal' AND NOT EXISTS (SELECT FROM billing_refund r WHERE r.returned_id = x.id))
"""

CHECKS = {
    "stripe_booked": ("what Stripe booked, we posted", STRIPE_BOOKED),
    "stripe_fees": ("a fee that Stripe took is our expense", STRIPE_FEES),
    "stripe_payouts": ("what Stripe paid to our bank is posted there", STRIPE_PAYOUTS),
    "stripe_unbooked": ("what we posted a day ago, Stripe has booked", STRIPE_UNBOOKED),
    "stripe_clearing": ("every transfer at Stripe is covered by a check", STRIPE_CLEARING),
}
WITH = {
    # Balance transactions with the id (`source`) by which they are compared: the payment intent of a payment, the
    # transfer of a reversal, else the object's own id. One transfer may be reversed in parts, so each row carries the
    # sum of all rows of the same source and direction (`all_micro`), and of those older than an hour (`sum_micro`).
    "booked": """
    SELECT n.*, sum(n.amount_micro) OVER one AS all_micro,
           sum(n.amount_micro) FILTER (WHERE n.occurred_at < now() - interval '1 hour') OVER one AS sum_micro FROM (
    SELECT b.*, CASE WHEN b.type IN ('charge', 'payment') THEN b.payment_intent_id
                     WHEN b.type = 'transfer_refund' THEN COALESCE(NULLIF(b.transfer_id, ''), (
                         SELECT p.stripe_transfer_id FROM billing_payout p
                           JOIN billing_stripecommand c ON c.id = p.reverse_command_id
                          WHERE c.object_id = b.source_id), b.source_id)
                     ELSE b.source_id END AS source
      FROM billing_balancetransaction b) n
    WINDOW one AS (PARTITION BY COALESCE(NULLIF(n.source, ''), n.stripe_id), n.currency, sign(n.amount_micro),
                                n.type = 'stripe_fee')
    """,
    # What should have moved at Stripe by our own documents. A refund that failed before Stripe had it moved nothing
    # there.
    "at_stripe": """
    SELECT 'top-up ' || id AS subject, reference AS source, currency, amount_micro AS micro, created_at AS since_at
      FROM billing_topup WHERE method = 'stripe'
    UNION ALL
    SELECT 'refund ' || public_id, COALESCE(stripe_id, ''), currency, -amount_micro, created_at
      FROM billing_refund WHERE stripe_id IS NOT NULL OR status <> 'failed'
    UNION ALL
    SELECT 'refund ' || public_id || ' returned', stripe_id, currency, amount_micro, ended_at
      FROM billing_refund WHERE stripe_id IS NOT NULL AND status = 'failed'
    UNION ALL
    SELECT 'card dispute ' || stripe_id || ' withdrawn', stripe_id, currency, -amount_micro, withdrawn_at
      FROM billing_carddispute WHERE withdrawn_at IS NOT NULL
    UNION ALL
    SELECT 'card dispute ' || stripe_id || ' reinstated', stripe_id, currency, amount_micro, reinstated_at
      FROM billing_carddispute WHERE reinstated_at IS NOT NULL
    UNION ALL
    SELECT 'payout ' || public_id, stripe_transfer_id, currency, -amount_micro, paid_at
      FROM billing_payout WHERE status IN ('paid', 'reversed')
    UNION ALL
    SELECT 'payout ' || public_id || ' taken back', stripe_transfer_id, currency, amount_micro, ended_at
      FROM billing_payout WHERE status = 'reversed'
    """,
}
