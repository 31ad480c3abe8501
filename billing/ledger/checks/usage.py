"""Checks of usage: what was rated, paid to owners, charged to customers, voided, and added up by day."""

# What was credited to an owner for work is the sum of the owner's rated usage.
PAYABLES = """
SELECT COALESCE(paid.key, 'owner ' || rated.owner_id), COALESCE(rated.micro, 0), COALESCE(paid.micro, 0)
  FROM (SELECT u.owner_id, c.currency, sum(r.owner_micro) AS micro
          FROM billing_ratedusage r JOIN compute_usagerecord u ON u.id = r.usage_id
          JOIN billing_joborder o ON o.id = r.order_id JOIN billing_ratecard c ON c.id = o.rate_card_id
         GROUP BY 1, 2) rated
  FULL JOIN (SELECT a.owner_id, a.currency, a.key, sum(t.amount_micro) AS micro
               FROM billing_ledgertransfer t JOIN billing_ledgeraccount a ON a.id = t.credit_id
              WHERE t.kind IN ('share', 'verification') AND a.kind = 'payable' GROUP BY 1, 2, 3) paid
    ON paid.owner_id = rated.owner_id AND paid.currency = rated.currency
 WHERE COALESCE(rated.micro, 0) <> COALESCE(paid.micro, 0)
"""
# A transfer to an owner is the sum of the rated usage that points to it, all of that owner.
SHARES = """
SELECT 'transfer ' || t.id, COALESCE(sum(r.owner_micro), 0), t.amount_micro
  FROM billing_ledgertransfer t JOIN billing_ledgeraccount a ON a.id = t.credit_id
  LEFT JOIN billing_ratedusage r ON r.owner_transfer_id = t.id
  LEFT JOIN compute_usagerecord u ON u.id = r.usage_id
 WHERE t.kind IN ('share', 'verification')
 GROUP BY t.id
HAVING t.amount_micro <> COALESCE(sum(r.owner_micro), 0) OR bool_or(a.owner_id IS DISTINCT FROM u.owner_id)
"""
# A transfer to revenue is the sum of the platform's shares of its rated usage, or of the whole charge where the
# platform paid the owner.
REVENUE = """
SELECT 'transfer ' || t.id, COALESCE(sum(r.micro), 0), t.amount_micro
  FROM billing_ledgertransfer t
  LEFT JOIN (SELECT r.revenue_transfer_id,
                    CASE WHEN p.kind = 'share' THEN r.platform_micro ELSE r.charged_micro END AS micro
               FROM billing_ratedusage r LEFT JOIN billing_ledgertransfer p ON p.id = r.owner_transfer_id) r
    ON r.revenue_transfer_id = t.id
 WHERE t.kind = 'revenue' GROUP BY t.id HAVING t.amount_micro <> COALESCE(sum(r.micro), 0)
"""
USAGE_SETTLED = """
SELECT 'usage ' || u.id, (u.settled_at IS NOT NULL)::int, (r.id IS NOT NULL)::int
  FROM compute_usagerecord u LEFT JOIN billing_ratedusage r ON r.usage_id = u.id
 WHERE (u.settled_at IS NULL) <> (r.id IS NULL)
"""
USAGE_ORDERED = """
SELECT 'usage ' || u.id, 1, 0 FROM compute_usagerecord u
 WHERE NOT EXISTS (SELECT FROM billing_joborder o WHERE o.job_id = u.job_id)
"""
# A settled void took back from the owner what the usage had paid, and gave back to the customer what it had charged: to
# the wallet and to promotional credit the parts that the void states.
VOIDS = """
SELECT 'void ' || v.public_id || ' ' || part.name, part.expected, part.actual
  FROM (SELECT v.public_id, v.settled_at IS NOT NULL AS is_settled, v.promo_micro, r.owner_micro, r.charged_micro,
               COALESCE(sum(m.micro) FILTER (
                   WHERE m.from_kind = 'payable' AND m.from_owner_id = u.owner_id), 0) AS by_owner,
               COALESCE(sum(m.micro) FILTER (
                   WHERE m.to_kind = 'wallet' AND m.to_organization_id = u.organization_id), 0) AS to_wallet,
               COALESCE(sum(m.micro) FILTER (
                   WHERE m.to_kind = 'promo_wallet' AND m.to_organization_id = u.organization_id), 0) AS to_promo
          FROM billing_usagevoid v
          JOIN billing_ratedusage r ON r.id = v.rated_id
          JOIN compute_usagerecord u ON u.id = r.usage_id
          LEFT JOIN corrections m ON m.act = 'void' AND m.subject = v.public_id::text
         GROUP BY v.id, r.id) v
 CROSS JOIN LATERAL (VALUES
      ('owner', CASE WHEN is_settled THEN owner_micro ELSE 0 END, by_owner),
      ('wallet', CASE WHEN is_settled THEN charged_micro - promo_micro ELSE 0 END, to_wallet),
      ('credit', CASE WHEN is_settled THEN promo_micro ELSE 0 END, to_promo)) AS part (name, expected, actual)
 WHERE part.expected <> part.actual
"""
# A correction belongs to a void or to a dispute.
CORRECTIONS = """
SELECT 'transfer ' || m.id, 0, m.micro
  FROM corrections m
  LEFT JOIN billing_usagevoid v ON m.act = 'void' AND v.public_id::text = m.subject
  LEFT JOIN billing_dispute d ON m.act = 'dispute' AND d.public_id::text = m.subject
 WHERE v.id IS NULL AND d.id IS NULL
"""
# The days that pages and charts read, added up, are the rated usage less what was voided.
EARNINGS_DAYS = """
SELECT format('owner %s, vehicle %s, %s', COALESCE(r.owner_id, d.owner_id), COALESCE(r.vehicle_id, d.vehicle_id),
              COALESCE(r.currency, d.currency)), COALESCE(r.micro, 0), COALESCE(d.micro, 0)
  FROM (SELECT u.owner_id, u.vehicle_id, c.currency,
               sum(r.owner_micro) FILTER (WHERE v.settled_at IS NULL) AS micro
          FROM billing_ratedusage r JOIN compute_usagerecord u ON u.id = r.usage_id
          JOIN billing_joborder o ON o.id = r.order_id JOIN billing_ratecard c ON c.id = o.rate_card_id
          LEFT JOIN billing_usagevoid v ON v.rated_id = r.id GROUP BY 1, 2, 3) r
  FULL JOIN (SELECT owner_id, vehicle_id, currency, sum(gross_micro) AS micro
               FROM billing_earningsday GROUP BY 1, 2, 3) d
    ON (d.owner_id, d.vehicle_id) = (r.owner_id, r.vehicle_id) AND d.currency = r.currency
 WHERE COALESCE(r.micro, 0) <> COALESCE(d.micro, 0)
"""
SPEND_DAYS = """
SELECT format('organization %s, model %s, %s', COALESCE(r.organization_id, d.organization_id),
              COALESCE(r.artifact_id, d.artifact_id), COALESCE(r.currency, d.currency)),
       COALESCE(r.micro, 0), COALESCE(d.micro, 0)
  FROM (SELECT o.organization_id, j.artifact_id, c.currency,
               sum(r.charged_micro) FILTER (WHERE v.settled_at IS NULL) AS micro
          FROM billing_ratedusage r JOIN billing_joborder o ON o.id = r.order_id
          JOIN compute_inferencejob j ON j.id = o.job_id JOIN billing_ratecard c ON c.id = o.rate_card_id
          LEFT JOIN billing_usagevoid v ON v.rated_id = r.id GROUP BY 1, 2, 3) r
  FULL JOIN (SELECT organization_id, artifact_id, currency, sum(charged_micro) AS micro
               FROM billing_spendday GROUP BY 1, 2, 3) d
    ON (d.organization_id, d.artifact_id) = (r.organization_id, r.artifact_id) AND d.currency = r.currency
 WHERE COALESCE(r.micro, 0) <> COALESCE(d.micro, 0)
"""

CHECKS = {
    "payables": ("an owner's credits = the owner's rated usage", PAYABLES),
    "shares": ("an owner's payment = its rated usage", SHARES),
    "revenue": ("a revenue transfer = its rated usage", REVENUE),
    "usage_settled": ("usage is settled if and only if it is rated", USAGE_SETTLED),
    "usage_ordered": ("usage belongs to an order", USAGE_ORDERED),
    "voids": ("a void takes back what its usage moved", VOIDS),
    "corrections": ("a correction has its void or dispute", CORRECTIONS),
    "earnings_days": ("earnings by day = rated usage", EARNINGS_DAYS),
    "spend_days": ("spending by day = rated usage", SPEND_DAYS),
}
WITH = {
    # Every correction, with the void or dispute that its idempotency key names.
    "corrections": """
    SELECT t.id, split_part(t.idempotency_key, ':', 1) AS act, split_part(t.idempotency_key, ':', 2) AS subject,
           t.amount_micro AS micro, t.currency, d.kind AS from_kind, d.owner_id AS from_owner_id, c.kind AS to_kind,
           c.organization_id AS to_organization_id, c.owner_id AS to_owner_id
      FROM billing_ledgertransfer t
      JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
     WHERE t.kind = 'correction'
    """,
}
