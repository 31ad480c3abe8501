"""Checks of invoices against what customers were charged."""

# An entry is a charge of the invoice's customer, or (negative) a charge that was given back.
INVOICE_ENTRIES = """
SELECT 'invoice ' || i.public_id || ' transfer ' || e.transfer_id, COALESCE(c.micro, 0), e.amount_micro
  FROM billing_invoiceentry e JOIN billing_invoice i ON i.id = e.invoice_id
  LEFT JOIN charges c ON c.id = e.transfer_id AND c.organization_id = i.organization_id AND c.currency = i.currency
 WHERE c.micro IS DISTINCT FROM e.amount_micro
"""
# The columns of an invoice are the sums of its entries, and its total is the sum of its lines.
INVOICE_COLUMNS = """
SELECT 'invoice ' || i.public_id || ' ' || c.name, c.expected, c.actual
  FROM billing_invoice i
  LEFT JOIN (SELECT e.invoice_id, sum(e.amount_micro) FILTER (WHERE t.kind IN ('share', 'revenue')) AS charged,
                    sum(e.amount_micro) FILTER (WHERE t.kind NOT IN ('share', 'revenue')) AS corrected
               FROM billing_invoiceentry e JOIN billing_ledgertransfer t ON t.id = e.transfer_id GROUP BY 1) e
    ON e.invoice_id = i.id
  LEFT JOIN (SELECT invoice_id, sum(amount_micro) AS micro FROM billing_invoiceline GROUP BY 1) l ON l.invoice_id = i.id
 CROSS JOIN LATERAL (VALUES
      ('charged', COALESCE(e.charged, 0), i.charged_micro), ('corrected', COALESCE(e.corrected, 0), i.corrected_micro),
      ('lines', i.total_micro, COALESCE(l.micro, 0))) AS c (name, expected, actual)
 WHERE c.expected <> c.actual
"""
# Every charge of an invoiced period that was posted before the invoice was made is on an invoice. The five minutes
# leave out a posting that was under way at that moment: it may be on the next one.
INVOICES_WHOLE = """
SELECT 'invoice ' || i.public_id || ' transfer ' || c.id, c.micro, 0
  FROM charges c
  JOIN (SELECT DISTINCT ON (organization_id, currency) * FROM billing_invoice
         ORDER BY organization_id, currency, period_start_at DESC) i
    ON i.organization_id = c.organization_id AND i.currency = c.currency
 WHERE c.effective_at < i.period_end_at AND c.posted_at < i.created_at - interval '5 minutes'
   AND NOT EXISTS (SELECT FROM billing_invoiceentry e WHERE e.transfer_id = c.id)
"""
# Milliseconds by which a period begins before the previous one has ended.
INVOICE_PERIODS = """
SELECT 'invoice ' || i.public_id, 0, (extract(epoch FROM i.before_at - i.period_start_at) * 1000)::bigint
  FROM (SELECT *, lag(period_end_at) OVER (PARTITION BY organization_id, currency ORDER BY period_start_at) AS before_at
          FROM billing_invoice) i
 WHERE i.period_start_at < i.before_at
"""

CHECKS = {
    "invoice_entries": ("an invoice's entry is a charge of its customer", INVOICE_ENTRIES),
    "invoice_columns": ("an invoice = its entries = its lines", INVOICE_COLUMNS),
    "invoices_whole": ("no charge of an invoiced period is missing", INVOICES_WHOLE),
    "invoice_periods": ("periods of invoices do not overlap", INVOICE_PERIODS),
}
WITH = {
    # Every transfer that charged a customer, and (negative) every one that gave a charge back.
    "charges": """
    SELECT t.id, t.effective_at, t.posted_at, a.organization_id, a.currency, t.amount_micro AS micro
      FROM billing_ledgeraccount a JOIN billing_ledgertransfer t ON t.debit_id = a.id
     WHERE a.kind = 'hold' AND t.kind IN ('share', 'revenue')
    UNION ALL
    SELECT t.id, t.effective_at, t.posted_at, a.organization_id, a.currency, -t.amount_micro
      FROM billing_ledgeraccount a JOIN billing_ledgertransfer t ON t.credit_id = a.id
     WHERE a.kind IN ('wallet', 'promo_wallet') AND t.kind = 'correction'
    """,
}
