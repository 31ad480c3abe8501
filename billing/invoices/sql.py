"""The SQL of invoices.py. A chunk of organizations takes the same few statements, whatever the number of charges."""

from accounts.mails.sql import queue_from

# The accounts on which charges show, with the end of their last invoice. A charge debits the hold; a charge that was
# given back is a correction that credits the wallet or promotional credit. Every transfer posted before `since_at` is
# on an invoice already.
ACCOUNTS = """
    SELECT a.id, a.kind, a.organization_id, a.currency, l.period_end_at,
           COALESCE(LEAST(l.period_end_at, l.created_at) - interval '1 day', '-infinity') AS since_at
      FROM billing_ledgeraccount a
      LEFT JOIN LATERAL (
           SELECT period_end_at, created_at FROM billing_invoice i
            WHERE i.organization_id = a.organization_id AND i.currency = a.currency
            ORDER BY period_start_at DESC LIMIT 1) l ON true
"""
CHARGE = """t.debit_id = a.id AND t.kind IN ('share', 'revenue') AND t.posted_at >= a.since_at
       AND t.effective_at < %(until)s AND NOT EXISTS (SELECT FROM billing_invoiceentry e WHERE e.transfer_id = t.id)"""
GIVEN_BACK = """t.credit_id = a.id AND t.kind = 'correction' AND t.posted_at >= a.since_at
       AND t.effective_at < %(until)s AND NOT EXISTS (SELECT FROM billing_invoiceentry e WHERE e.transfer_id = t.id)"""

WITH_CHARGES = f"""
SELECT DISTINCT a.organization_id FROM ({ACCOUNTS}
     WHERE a.kind IN ('hold', 'wallet', 'promo_wallet') AND a.organization_id > %(last)s
       AND (l.period_end_at IS NULL OR l.period_end_at < %(until)s)) a
 WHERE a.kind = 'hold' AND EXISTS (SELECT FROM billing_ledgertransfer t WHERE {CHARGE})
    OR a.kind <> 'hold' AND EXISTS (SELECT FROM billing_ledgertransfer t WHERE {GIVEN_BACK})
 ORDER BY a.organization_id LIMIT %(limit)s
"""  # noqa: S608 - our own text

# Locked in the order of their ids, as the ledger does it: postings wait, and so does another closing. Accounts of all
# currencies are locked, since an organization's invoices are numbered across currencies.
LOCK = """
SELECT FROM billing_ledgeraccount
 WHERE organization_id = ANY(%b::bigint[]) AND kind IN ('hold', 'wallet', 'promo_wallet') ORDER BY id FOR NO KEY UPDATE
"""

# Steps: `account` are the accounts to close, `found` their transfers on no invoice yet (corrections negative, with
# `void_id`), `used` and `figures` the work that the charges paid for, `charged` and `corrected` the lines to be,
# `whole` the totals, `made` the invoices, `listed` their entries, `shown` and `written` their lines. A usage record is
# counted once, with the transfer of the platform's share if it has one: the owner's share may be on another invoice, if
# a period ends between the two transfers. Promotional credit pays the first charges of an order, so its part of a line
# is what is left of it after the charges on earlier invoices.
CLOSE = f"""
WITH account AS MATERIALIZED ({ACCOUNTS}
     WHERE a.organization_id = ANY(%(organizations)s::bigint[]) AND a.kind IN ('hold', 'wallet', 'promo_wallet')
       AND (l.period_end_at IS NULL OR l.period_end_at < %(until)s)
), found AS MATERIALIZED (
    SELECT a.organization_id, a.currency, a.period_end_at AS start_at, t.id, t.kind, t.effective_at, t.amount_micro,
           (t.meta->>'order')::bigint AS order_id, NULL::bigint AS void_id
      FROM account a JOIN billing_ledgertransfer t ON {CHARGE} WHERE a.kind = 'hold'
    UNION ALL
    SELECT a.organization_id, a.currency, a.period_end_at, t.id, t.kind, t.effective_at, -t.amount_micro,
           COALESCE(r.order_id, (t.meta->>'order')::bigint), (t.meta->>'void')::bigint
      FROM account a JOIN billing_ledgertransfer t ON {GIVEN_BACK}
      LEFT JOIN billing_ratedusage r ON r.id = (t.meta->>'rated')::bigint
     WHERE a.kind <> 'hold'
), used AS (
    SELECT f.organization_id, f.currency, f.order_id, r.usage_id
      FROM found f JOIN billing_ratedusage r ON r.revenue_transfer_id = f.id WHERE f.kind = 'revenue'
    UNION ALL
    SELECT f.organization_id, f.currency, f.order_id, r.usage_id
      FROM found f JOIN billing_ratedusage r ON r.owner_transfer_id = f.id AND r.revenue_transfer_id IS NULL
     WHERE f.kind = 'share'
), figures AS (
    SELECT x.organization_id, x.currency, x.order_id, sum(u.items)::bigint AS items,
           sum(u.compute_ms)::bigint AS compute_ms, sum(u.energy_mwh)::bigint AS energy_mwh
      FROM used x JOIN compute_usagerecord u ON u.id = x.usage_id GROUP BY 1, 2, 3
), charged AS MATERIALIZED (
    SELECT c.*, w.items, w.compute_ms, w.energy_mwh,
           CASE WHEN o.id IS NULL THEN 0 ELSE
                LEAST(o.held_promo_micro, b.micro + c.amount_micro) - LEAST(o.held_promo_micro, b.micro) END
                AS promo_micro
      FROM (SELECT organization_id, currency, order_id, sum(amount_micro)::bigint AS amount_micro
              FROM found WHERE kind <> 'correction' GROUP BY 1, 2, 3) c
      LEFT JOIN figures w USING (organization_id, currency, order_id)
      LEFT JOIN billing_joborder o ON o.id = c.order_id
      CROSS JOIN LATERAL (SELECT COALESCE(sum(p.amount_micro), 0)::bigint AS micro FROM billing_invoiceline p
                           WHERE p.order_id = c.order_id AND p.kind = 'work') b
), corrected AS MATERIALIZED (
    SELECT organization_id, currency, order_id, min(id) AS first_id, sum(amount_micro)::bigint AS amount_micro
      FROM found WHERE kind = 'correction' GROUP BY 1, 2, 3, COALESCE(void_id, -id)
), whole AS (
    SELECT f.organization_id, f.currency, COALESCE(min(f.start_at), min(f.effective_at)) AS start_at,
           COALESCE(sum(f.amount_micro) FILTER (WHERE f.kind <> 'correction'), 0)::bigint AS charged_micro,
           COALESCE(sum(f.amount_micro) FILTER (WHERE f.kind = 'correction'), 0)::bigint AS corrected_micro,
           COALESCE((SELECT sum(c.promo_micro) FROM charged c
                      WHERE (c.organization_id, c.currency) = (f.organization_id, f.currency)), 0)::bigint
               AS promo_micro
      FROM found f GROUP BY 1, 2
), made AS (
    INSERT INTO billing_invoice
           (created_at, public_id, organization_id, currency, number, period_start_at, period_end_at,
            charged_micro, corrected_micro, total_micro, promo_micro, customer_name, customer_address)
    SELECT now(), gen_random_uuid(), w.organization_id, w.currency,
           COALESCE((SELECT max(number) FROM billing_invoice i WHERE i.organization_id = w.organization_id), 0)
               + row_number() OVER (PARTITION BY w.organization_id ORDER BY w.currency),
           w.start_at, %(until)s, w.charged_micro, w.corrected_micro, w.charged_micro + w.corrected_micro,
           w.promo_micro,
           left(COALESCE(NULLIF(p.legal_name, ''), o.name), 200),
           concat_ws(E'\\n', NULLIF(p.address, ''), 'Tax ID ' || NULLIF(p.tax_id, ''))
      FROM whole w
      JOIN accounts_organization o ON o.id = w.organization_id
      LEFT JOIN billing_billingprofile p ON p.organization_id = o.id
     ORDER BY w.organization_id, w.currency
    RETURNING id, organization_id, currency
), listed AS (
    INSERT INTO billing_invoiceentry (invoice_id, transfer_id, amount_micro)
    SELECT m.id, f.id, f.amount_micro FROM found f JOIN made m USING (organization_id, currency) ORDER BY m.id, f.id
), shown AS (
    SELECT organization_id, currency, 'work' AS kind, order_id, 0 AS first_id, items, compute_ms, energy_mwh,
           amount_micro
      FROM charged
    UNION ALL
    SELECT organization_id, currency, 'correction', order_id, first_id, 0, 0, 0, amount_micro FROM corrected
), written AS (
    INSERT INTO billing_invoiceline
           (invoice_id, kind, order_id, description, items, compute_ms, energy_mwh,
            price_micro_per_hour, price_micro_per_kwh, amount_micro)
    SELECT m.id, s.kind, s.order_id,
           left(concat_ws(': ', CASE s.kind WHEN 'correction' THEN 'Charge given back' END,
                          CASE WHEN s.kind = 'work' THEN COALESCE(x.name, 'Verified work') ELSE x.name END), 200),
           COALESCE(s.items, 0), COALESCE(s.compute_ms, 0), COALESCE(s.energy_mwh, 0),
           CASE s.kind WHEN 'work' THEN COALESCE(o.price_micro_per_hour, 0) ELSE 0 END,
           CASE s.kind WHEN 'work' THEN COALESCE(o.price_micro_per_kwh, 0) ELSE 0 END, s.amount_micro
      FROM shown s JOIN made m USING (organization_id, currency)
      LEFT JOIN billing_joborder o ON o.id = s.order_id
      LEFT JOIN compute_inferencejob j ON j.id = o.job_id
      LEFT JOIN compute_modelartifact x ON x.id = j.artifact_id
     ORDER BY m.id, s.kind DESC, s.first_id, s.order_id
)
SELECT id FROM made ORDER BY id
"""  # noqa: S608

# One mail an invoice to each of the organization's admins and finance people.
QUEUE_MAILS = queue_from("""
SELECT m.user_id, 'invoice-ready' AS kind,
       jsonb_build_object('organization', o.name, 'number', i.number, 'id', i.public_id, 'total_micro', i.total_micro,
           'currency', i.currency, 'from_on', (i.period_start_at AT TIME ZONE 'UTC')::date,
           'to_on', ((i.period_end_at - interval '1 microsecond') AT TIME ZONE 'UTC')::date) AS context,
       'invoice-ready:' || i.id || ':' || m.user_id AS dedupe_key
  FROM billing_invoice i
  JOIN accounts_organization o ON o.id = i.organization_id
  JOIN accounts_membership m ON m.organization_id = o.id AND m.role IN ('admin', 'finance')
  JOIN accounts_user u ON u.id = m.user_id AND u.is_active
 WHERE i.id = ANY(%b::bigint[])
""")
