"""Checks of chargebacks and what is owed for them, of disputed jobs, and of adjustments by operators."""

# A chargeback's transfers on the account `disputed`: what the bank took and returned, what the wallet paid, and what
# was written off. Nothing is owed any more once the bank has returned the money or the debt was written off.
CARD_DISPUTES = """
SELECT 'card dispute ' || d.stripe_id || ' ' || part.name, part.expected, part.actual
  FROM billing_carddispute d
  LEFT JOIN (SELECT stripe_id, sum(micro) AS owed_micro,
                    sum(micro) FILTER (WHERE part = 'withdrawn') AS withdrawn_micro,
                    sum(-micro) FILTER (WHERE part = 'reinstated') AS reinstated_micro
               FROM at_banks GROUP BY stripe_id) m ON m.stripe_id = d.stripe_id
 CROSS JOIN LATERAL (VALUES
      ('withdrawn', CASE WHEN d.withdrawn_at IS NULL THEN 0 ELSE d.amount_micro END, COALESCE(m.withdrawn_micro, 0)),
      ('reinstated', CASE WHEN d.reinstated_at IS NULL THEN 0 ELSE d.amount_micro END, COALESCE(m.reinstated_micro, 0)),
      ('owed', CASE WHEN d.withdrawn_at IS NULL OR d.reinstated_at IS NOT NULL OR d.written_off_at IS NOT NULL THEN 0
                    ELSE GREATEST(m.owed_micro, 0) END, COALESCE(m.owed_micro, 0))
      ) AS part (name, expected, actual)
 WHERE part.expected <> part.actual
"""
# The balance of `disputed`, what an organization owes for chargebacks, is what its chargebacks leave owed.
DISPUTED = """
SELECT COALESCE(a.key, 'organization ' || owed.organization_id), COALESCE(owed.micro, 0), COALESCE(a.balance_micro, 0)
  FROM (SELECT * FROM billing_ledgeraccount WHERE kind = 'disputed') a
  FULL JOIN (SELECT d.organization_id, d.currency, sum(m.micro) AS micro
               FROM billing_carddispute d JOIN at_banks m ON m.stripe_id = d.stripe_id GROUP BY 1, 2) owed
    ON owed.organization_id = a.organization_id AND owed.currency = a.currency
 WHERE COALESCE(owed.micro, 0) <> COALESCE(a.balance_micro, 0)
"""
# Earnings are held in `reserve` exactly as long as the dispute is open.
RESERVED = """
SELECT 'dispute ' || COALESCE(d.public_id::text, m.dispute),
       CASE WHEN d.status = 'open' THEN d.reserved_micro ELSE 0 END, COALESCE(m.micro, 0)
  FROM billing_dispute d
  FULL JOIN (SELECT split_part(t.idempotency_key, ':', 2) AS dispute,
                    sum(CASE WHEN a.id = t.credit_id THEN t.amount_micro ELSE -t.amount_micro END) AS micro
               FROM billing_ledgeraccount a JOIN billing_ledgertransfer t ON a.id IN (t.debit_id, t.credit_id)
              WHERE a.kind = 'reserve' GROUP BY 1) m ON m.dispute = d.public_id::text
 WHERE CASE WHEN d.status = 'open' THEN d.reserved_micro ELSE 0 END <> COALESCE(m.micro, 0)
"""
# What an upheld dispute granted was credited: to the customer's wallet and promotional credit, or to the owner. The
# owners of the work paid for it only if the decision says that they bear it, and then no more than was granted.
GRANTED = """
SELECT 'dispute ' || d.public_id || ' ' || part.name, part.expected, part.actual
  FROM (SELECT d.public_id, d.owner_id, d.granted_promo_micro AS promo_micro, d.bearer,
               CASE WHEN d.status = 'upheld' THEN d.granted_micro ELSE 0 END AS micro,
               COALESCE(sum(m.micro) FILTER (
                   WHERE m.to_kind = 'wallet' AND m.to_organization_id = d.organization_id), 0) AS to_wallet,
               COALESCE(sum(m.micro) FILTER (
                   WHERE m.to_kind = 'promo_wallet' AND m.to_organization_id = d.organization_id), 0) AS to_promo,
               COALESCE(sum(m.micro) FILTER (
                   WHERE m.to_kind = 'payable' AND m.to_owner_id = d.owner_id), 0) AS to_owner,
               COALESCE(sum(m.micro) FILTER (WHERE m.from_kind = 'payable'), 0) AS by_owners
          FROM billing_dispute d LEFT JOIN corrections m ON m.act = 'dispute' AND m.subject = d.public_id::text
         GROUP BY d.id) d
 CROSS JOIN LATERAL (VALUES
      ('wallet', CASE WHEN owner_id IS NULL THEN micro - promo_micro ELSE 0 END, to_wallet),
      ('credit', CASE WHEN owner_id IS NULL THEN promo_micro ELSE 0 END, to_promo),
      ('owner', CASE WHEN owner_id IS NULL THEN 0 ELSE micro END, to_owner),
      ('by owners', CASE WHEN bearer = 'owner' THEN LEAST(by_owners, micro) ELSE 0 END, by_owners)
      ) AS part (name, expected, actual)
 WHERE part.expected <> part.actual
"""
# Every adjustment has an approval by a second operator (or is part of a dispute), and every approved adjustment was
# posted.
ADJUSTMENTS = """
SELECT 'transfer ' || t.id, 0, t.amount_micro
  FROM billing_ledgertransfer t
  LEFT JOIN billing_approval p ON t.idempotency_key = 'adjustment:' || p.public_id AND p.status = 'done'
                              AND p.kind IN ('adjust_customer', 'adjust_owner')
  LEFT JOIN billing_dispute d ON d.public_id::text = split_part(t.idempotency_key, ':', 2)
                             AND t.idempotency_key LIKE 'dispute:%'
 WHERE t.kind = 'adjustment' AND p.id IS NULL AND d.id IS NULL
UNION ALL
SELECT 'approval ' || p.public_id, 1, 0 FROM billing_approval p
 WHERE p.status = 'done' AND p.kind IN ('adjust_customer', 'adjust_owner')
   AND NOT EXISTS (SELECT FROM billing_ledgertransfer t WHERE t.idempotency_key = 'adjustment:' || p.public_id)
"""

CHECKS = {
    "card_disputes": ("a chargeback = its postings", CARD_DISPUTES),
    "disputed": ("owed for chargebacks = what each leaves owed", DISPUTED),
    "reserved": ("held in reserve = reserved for open disputes", RESERVED),
    "granted": ("what a dispute granted was credited", GRANTED),
    "adjustments": ("an adjustment was approved and posted", ADJUSTMENTS),
}
WITH = {
    "at_banks": """
    SELECT split_part(t.idempotency_key, ':', 2) AS stripe_id, split_part(t.idempotency_key, ':', 3) AS part,
           CASE WHEN a.id = t.debit_id THEN t.amount_micro ELSE -t.amount_micro END AS micro
      FROM billing_ledgeraccount a JOIN billing_ledgertransfer t ON a.id IN (t.debit_id, t.credit_id)
     WHERE a.kind = 'disputed'
    """,
}
