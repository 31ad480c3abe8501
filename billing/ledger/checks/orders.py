"""Checks of orders: holds, charges, releases, and what was given back. Charges use promotional credit first."""

# The balance of an organization's `hold` is what its open orders may still cost.
HOLDS = """
SELECT COALESCE(a.key, 'organization ' || o.organization_id), COALESCE(o.micro, 0), COALESCE(a.balance_micro, 0)
  FROM (SELECT * FROM billing_ledgeraccount WHERE kind = 'hold') a
  FULL JOIN (SELECT o.organization_id, r.currency, sum(o.held_micro - o.charged_micro) AS micro
               FROM billing_joborder o JOIN billing_ratecard r ON r.id = o.rate_card_id
              WHERE o.status = 'held' GROUP BY 1, 2) o
    ON a.organization_id = o.organization_id AND a.currency = o.currency
 WHERE COALESCE(a.balance_micro, 0) <> COALESCE(o.micro, 0)
"""
# The hold of every order was transferred, from the wallet and from promotional credit.
ORDERS_HELD = """
SELECT 'order ' || o.id || part.name, part.micro, COALESCE(h.amount_micro, 0)
  FROM billing_joborder o
 CROSS JOIN LATERAL (VALUES ('', 'wallet', o.held_micro - o.held_promo_micro),
                            (':promo', 'promo_wallet', o.held_promo_micro)) AS part (name, kind, micro)
  LEFT JOIN billing_ledgertransfer h ON h.idempotency_key = 'hold:' || o.job_id || part.name AND h.kind = 'hold'
  LEFT JOIN billing_ledgeraccount d ON d.id = h.debit_id
 WHERE part.micro <> COALESCE(h.amount_micro, 0) OR d.kind <> part.kind OR d.organization_id <> o.organization_id
"""
# The unused rest of a closed order went back to the accounts that it came from; charges used the promotional part
# first.
ORDERS_RELEASED = """
SELECT 'order ' || o.id || part.name, part.micro, COALESCE(x.amount_micro, 0)
  FROM billing_joborder o
 CROSS JOIN LATERAL (SELECT CASE WHEN o.status = 'closed' THEN o.held_micro - o.charged_micro ELSE 0 END AS micro,
                            CASE WHEN o.status = 'closed' THEN GREATEST(o.held_promo_micro - o.charged_micro, 0)
                                 ELSE 0 END AS promo_micro) AS rest
 CROSS JOIN LATERAL (VALUES ('', 'wallet', rest.micro - rest.promo_micro),
                            (':promo', 'promo_wallet', rest.promo_micro)) AS part (name, kind, micro)
  LEFT JOIN billing_ledgertransfer x ON x.idempotency_key = 'release:' || o.job_id || part.name AND x.kind = 'release'
  LEFT JOIN billing_ledgeraccount c ON c.id = x.credit_id
 WHERE part.micro <> COALESCE(x.amount_micro, 0) OR c.kind <> part.kind OR c.organization_id <> o.organization_id
"""
ORDERS_CHARGED = """
SELECT 'order ' || o.id, COALESCE(sum(r.charged_micro), 0), o.charged_micro
  FROM billing_joborder o LEFT JOIN billing_ratedusage r ON r.order_id = o.id
 GROUP BY o.id HAVING o.charged_micro <> COALESCE(sum(r.charged_micro), 0)
"""
PROMO_CREDITS = """
SELECT 'promotional credit ' || p.id, p.amount_micro, COALESCE(x.amount_micro, 0)
  FROM billing_promocredit p
  LEFT JOIN (SELECT t.*, c.organization_id
               FROM billing_ledgertransfer t JOIN billing_ledgeraccount c ON c.id = t.credit_id
              WHERE t.kind = 'promo' AND c.kind = 'promo_wallet') x
    ON x.id = p.transfer_id AND x.organization_id = p.organization_id AND x.currency = p.currency
 WHERE p.amount_micro IS DISTINCT FROM x.amount_micro
UNION ALL
SELECT 'transfer ' || t.id, 0, t.amount_micro FROM billing_ledgertransfer t
 WHERE t.kind = 'promo' AND NOT EXISTS (SELECT FROM billing_promocredit p WHERE p.transfer_id = t.id)
"""
# Voids and disputes of an order together gave back no more than was charged, and to the wallet and to promotional
# credit no more than each had paid.
GIVEN_BACK = """
SELECT 'order ' || o.id || ' ' || part.name, part.paid, part.back
  FROM (SELECT order_id, sum(micro) FILTER (WHERE kind = 'wallet') AS to_wallet,
               sum(micro) FILTER (WHERE kind = 'promo_wallet') AS to_promo
          FROM (SELECT r.order_id, m.to_kind AS kind, m.micro
                  FROM corrections m JOIN billing_usagevoid v ON m.act = 'void' AND v.public_id::text = m.subject
                  JOIN billing_ratedusage r ON r.id = v.rated_id
                UNION ALL
                SELECT d.order_id, m.to_kind, m.micro
                  FROM corrections m JOIN billing_dispute d ON m.act = 'dispute' AND d.public_id::text = m.subject) b
         GROUP BY order_id) b
  JOIN billing_joborder o ON o.id = b.order_id
 CROSS JOIN LATERAL (VALUES
      ('in all', o.charged_micro, COALESCE(b.to_wallet, 0) + COALESCE(b.to_promo, 0)),
      ('wallet', GREATEST(o.charged_micro - o.held_promo_micro, 0), COALESCE(b.to_wallet, 0)),
      ('credit', LEAST(o.held_promo_micro, o.charged_micro), COALESCE(b.to_promo, 0))) AS part (name, paid, back)
 WHERE part.back > part.paid
"""
# The balance of `promo_wallet`: all that was granted, less what open orders hold and closed orders used, plus what was
# given back.
PROMO_WALLETS = """
SELECT COALESCE(a.key, 'organization ' || given.organization_id),
       COALESCE(given.micro, 0) - COALESCE(used.micro, 0) + COALESCE(back.micro, 0), COALESCE(a.balance_micro, 0)
  FROM (SELECT * FROM billing_ledgeraccount WHERE kind = 'promo_wallet') a
  FULL JOIN (SELECT organization_id, currency, sum(amount_micro) AS micro FROM billing_promocredit GROUP BY 1, 2) given
    ON given.organization_id = a.organization_id AND given.currency = a.currency
  LEFT JOIN (SELECT o.organization_id, r.currency,
                    sum(CASE WHEN o.status = 'held' THEN o.held_promo_micro
                             ELSE LEAST(o.held_promo_micro, o.charged_micro) END) AS micro
               FROM billing_joborder o JOIN billing_ratecard r ON r.id = o.rate_card_id
              WHERE o.held_promo_micro > 0 GROUP BY 1, 2) used
    ON used.organization_id = COALESCE(a.organization_id, given.organization_id)
   AND used.currency = COALESCE(a.currency, given.currency)
  LEFT JOIN (SELECT to_organization_id AS organization_id, currency, sum(micro) AS micro
               FROM corrections WHERE to_kind = 'promo_wallet' GROUP BY 1, 2) back
    ON back.organization_id = COALESCE(a.organization_id, given.organization_id)
   AND back.currency = COALESCE(a.currency, given.currency)
 WHERE COALESCE(a.balance_micro, 0) <> COALESCE(given.micro, 0) - COALESCE(used.micro, 0) + COALESCE(back.micro, 0)
"""

CHECKS = {
    "holds": ("held = what open orders may still cost", HOLDS),
    "orders_held": ("an order's hold was transferred", ORDERS_HELD),
    "orders_released": ("the rest of a closed order's hold was released", ORDERS_RELEASED),
    "orders_charged": ("an order's charge = its rated usage", ORDERS_CHARGED),
    "given_back": ("given back of an order <= its charge", GIVEN_BACK),
    "promo_credits": ("a promotional credit = its transfer", PROMO_CREDITS),
    "promo_wallets": ("promo credit left = granted - used + given back", PROMO_WALLETS),
}
