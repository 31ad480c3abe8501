"""Checks of top-ups, and of refunds to the card."""

TOP_UPS = """
SELECT 'top-up ' || t.id, t.amount_micro, x.amount_micro
  FROM billing_topup t JOIN billing_ledgertransfer x ON x.id = t.transfer_id
  JOIN billing_ledgeraccount w ON w.id = x.credit_id
 WHERE x.amount_micro <> t.amount_micro OR x.kind <> 'top_up' OR w.kind <> 'wallet'
    OR w.organization_id <> t.organization_id OR w.currency <> t.currency
"""
TOP_UPS_MISSING = """
SELECT 'transfer ' || x.id, 0, x.amount_micro FROM billing_ledgertransfer x
 WHERE x.kind = 'top_up' AND NOT EXISTS (SELECT FROM billing_topup t WHERE t.transfer_id = x.id)
"""
# A top-up by card has the status `paid` exactly if it has its TopUp, of the same amount.
CARD_TOP_UPS = """
SELECT 'card top-up ' || c.id, CASE WHEN c.status = 'paid' THEN c.amount_micro ELSE 0 END, COALESCE(t.amount_micro, 0)
  FROM billing_cardtopup c LEFT JOIN billing_topup t ON t.id = c.top_up_id
 WHERE CASE WHEN c.status = 'paid' THEN c.amount_micro ELSE 0 END <> COALESCE(t.amount_micro, 0)
    OR t.organization_id <> c.organization_id OR t.currency <> c.currency
"""
# A refund left the wallet when it was requested; if it failed, a reversal of that transfer brought it back.
REFUNDS = """
SELECT 'refund ' || r.public_id || ' ' || part.name, part.expected, part.actual
  FROM billing_refund r
  LEFT JOIN billing_ledgertransfer x ON x.id = r.transfer_id AND x.kind = 'refund'
  LEFT JOIN billing_ledgeraccount w ON w.id = x.debit_id AND w.kind = 'wallet' AND w.organization_id = r.organization_id
  LEFT JOIN billing_ledgertransfer b ON b.id = r.returned_id AND b.reverses_id = r.transfer_id
 CROSS JOIN LATERAL (VALUES
      ('sent', r.amount_micro, CASE WHEN w.id IS NULL THEN 0 ELSE x.amount_micro END),
      ('returned', CASE WHEN r.status = 'failed' THEN r.amount_micro ELSE 0 END, COALESCE(b.amount_micro, 0))
      ) AS part (name, expected, actual)
 WHERE part.expected <> part.actual
UNION ALL
SELECT 'transfer ' || t.id, 0, t.amount_micro FROM billing_ledgertransfer t
 WHERE t.kind = 'refund' AND NOT EXISTS (SELECT FROM billing_refund r WHERE r.transfer_id = t.id)
"""
# The refunds of a top-up that did not fail, together, are no more than the top-up.
REFUNDED = """
SELECT 'top-up ' || t.id, t.amount_micro, sum(r.amount_micro)
  FROM billing_topup t JOIN billing_refund r ON r.top_up_id = t.id AND r.status <> 'failed'
 GROUP BY t.id HAVING sum(r.amount_micro) > t.amount_micro
"""

CHECKS = {
    "top_ups": ("a top-up = its transfer", TOP_UPS),
    "top_ups_missing": ("a transfer of a top-up has its top-up", TOP_UPS_MISSING),
    "card_top_ups": ("a top-up by card is paid if it was credited", CARD_TOP_UPS),
    "refunds": ("a refund = its transfer, returned if it failed", REFUNDS),
    "refunded": ("refunds of a top-up <= its amount", REFUNDED),
}
