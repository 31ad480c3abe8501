"""Everything that money must add up to, computed again from the rows beneath it.

One statement, so that all checks see one moment of a database that goes on working. Each check is a query of
(subject, expected, actual) that returns only what differs.
"""

from dataclasses import dataclass

from django.db import connection

BALANCES = """
SELECT a.key, COALESCE(a.side * moved.micro, 0), a.balance_micro
  FROM billing_ledgeraccount a LEFT JOIN moved ON moved.account_id = a.id
 WHERE a.tracked
   AND (a.balance_micro <> COALESCE(a.side * moved.micro, 0) OR a.version <> COALESCE(moved.transfers, 0))
"""
FLOORS = "SELECT key, 0, balance_micro FROM billing_ledgeraccount WHERE floor_zero AND balance_micro < 0"
# Debits minus credits by the currency of the accounts: 0, unless a transfer joins two currencies.
SUMS = """
SELECT a.currency, 0, sum(moved.micro) FROM moved JOIN billing_ledgeraccount a ON a.id = moved.account_id
 GROUP BY a.currency HAVING sum(moved.micro) <> 0
"""
REVERSALS = """
SELECT 'transfer ' || t.id, was.amount_micro, t.amount_micro
  FROM billing_ledgertransfer t JOIN billing_ledgertransfer was ON was.id = t.reverses_id
 WHERE (t.debit_id, t.credit_id, t.amount_micro)
       IS DISTINCT FROM (was.credit_id, was.debit_id, was.amount_micro)
"""
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
# A top-up by card is paid exactly when it has its top-up, of the same sum.
CARD_TOP_UPS = """
SELECT 'card top-up ' || c.id, CASE WHEN c.status = 'paid' THEN c.amount_micro ELSE 0 END, COALESCE(t.amount_micro, 0)
  FROM billing_cardtopup c LEFT JOIN billing_topup t ON t.id = c.top_up_id
 WHERE CASE WHEN c.status = 'paid' THEN c.amount_micro ELSE 0 END <> COALESCE(t.amount_micro, 0)
    OR t.organization_id <> c.organization_id OR t.currency <> c.currency
"""
# What Stripe booked, against what we posted for it: each movement's amount by its payment (an hour later, since a list
# may show it before its event came), its fee by its key.
STRIPE_BOOKED = """
SELECT 'balance transaction ' || b.stripe_id, b.amount_micro, COALESCE(t.amount_micro, 0)
  FROM billing_balancetransaction b
  LEFT JOIN billing_topup t ON t.reference = b.payment_intent_id AND t.method = 'stripe' AND t.currency = b.currency
                           AND b.type IN ('charge', 'payment')
 WHERE b.amount_micro <> COALESCE(t.amount_micro, 0) AND b.occurred_at < now() - interval '1 hour'
"""
STRIPE_FEES = """
SELECT 'balance transaction ' || b.stripe_id, b.fee_micro,
       COALESCE(CASE WHEN d.kind = 'processing_fee' THEN f.amount_micro ELSE -f.amount_micro END, 0)
  FROM billing_balancetransaction b
  LEFT JOIN billing_ledgertransfer f ON f.idempotency_key = 'stripe_fee:' || b.stripe_id AND f.kind = 'fee'
  LEFT JOIN billing_ledgeraccount d ON d.id = f.debit_id
 WHERE b.fee_micro <> COALESCE(CASE WHEN d.kind = 'processing_fee' THEN f.amount_micro ELSE -f.amount_micro END, 0)
"""
# Stripe books a payment at once, or soon after; what it has not booked after a day it may never have taken.
STRIPE_UNBOOKED = """
SELECT 'top-up ' || t.id, 0, t.amount_micro FROM billing_topup t
 WHERE t.method = 'stripe' AND t.created_at < now() - interval '1 day'
   AND NOT EXISTS (SELECT FROM billing_balancetransaction b WHERE b.payment_intent_id = t.reference)
"""
# All that moved the account "at Stripe" is a top-up or a fee that the checks above have compared.
STRIPE_CLEARING = """
SELECT 'transfer ' || x.id, 0, x.amount_micro
  FROM billing_ledgertransfer x JOIN billing_ledgeraccount a ON a.id IN (x.debit_id, x.credit_id)
 WHERE a.kind = 'stripe_clearing' AND x.kind NOT IN ('top_up', 'fee', 'reversal')
    OR a.kind = 'stripe_clearing' AND x.kind = 'fee'
       AND NOT EXISTS (SELECT FROM billing_balancetransaction b WHERE x.idempotency_key = 'stripe_fee:' || b.stripe_id)
"""
# What is held for an organization is what its open orders may still cost.
HOLDS = """
SELECT a.key, COALESCE(o.micro, 0), a.balance_micro
  FROM billing_ledgeraccount a
  FULL JOIN (SELECT o.organization_id, r.currency, sum(o.held_micro - o.charged_micro) AS micro
               FROM billing_joborder o JOIN billing_ratecard r ON r.id = o.rate_card_id
              WHERE o.status = 'held' GROUP BY 1, 2) o
    ON a.kind = 'hold' AND a.organization_id = o.organization_id AND a.currency = o.currency
 WHERE COALESCE(a.kind, 'hold') = 'hold' AND COALESCE(a.balance_micro, 0) <> COALESCE(o.micro, 0)
"""
# Each order has its hold, and after closing the release of the rest.
ORDERS_HELD = """
SELECT 'order ' || o.id, o.held_micro, COALESCE(w.amount_micro, 0) + COALESCE(p.amount_micro, 0)
  FROM billing_joborder o
  LEFT JOIN billing_ledgertransfer w ON w.idempotency_key = 'hold:' || o.job_id AND w.kind = 'hold'
  LEFT JOIN billing_ledgertransfer p ON p.idempotency_key = 'hold:' || o.job_id || ':promo' AND p.kind = 'hold'
 WHERE (o.held_micro - o.held_promo_micro, o.held_promo_micro)
       IS DISTINCT FROM (COALESCE(w.amount_micro, 0), COALESCE(p.amount_micro, 0))
"""
# Charges use promotional credit up first, the rest of each pocket goes back to it.
ORDERS_RELEASED = """
SELECT 'order ' || o.id, o.held_micro - o.charged_micro, COALESCE(w.amount_micro, 0) + COALESCE(p.amount_micro, 0)
  FROM billing_joborder o
  LEFT JOIN billing_ledgertransfer w ON w.idempotency_key = 'release:' || o.job_id AND w.kind = 'release'
  LEFT JOIN billing_ledgertransfer p ON p.idempotency_key = 'release:' || o.job_id || ':promo' AND p.kind = 'release'
  CROSS JOIN LATERAL (SELECT CASE WHEN o.status = 'closed' THEN o.held_micro - o.charged_micro ELSE 0 END AS micro) rest
  CROSS JOIN LATERAL (SELECT LEAST(rest.micro, GREATEST(0, o.held_promo_micro - o.charged_micro)) AS micro) promo
 WHERE (rest.micro - promo.micro, promo.micro) IS DISTINCT FROM (COALESCE(w.amount_micro, 0), COALESCE(p.amount_micro, 0))
"""
ORDERS_CHARGED = """
SELECT 'order ' || o.id, COALESCE(sum(r.charged_micro), 0), o.charged_micro
  FROM billing_joborder o LEFT JOIN billing_ratedusage r ON r.order_id = o.id
 GROUP BY o.id HAVING o.charged_micro <> COALESCE(sum(r.charged_micro), 0)
"""
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
# A settlement transfer is the sum of its rows, and goes to their owner.
SHARES = """
SELECT 'transfer ' || t.id, COALESCE(sum(r.owner_micro), 0), t.amount_micro
  FROM billing_ledgertransfer t JOIN billing_ledgeraccount a ON a.id = t.credit_id
  LEFT JOIN billing_ratedusage r ON r.owner_transfer_id = t.id
  LEFT JOIN compute_usagerecord u ON u.id = r.usage_id
 WHERE t.kind IN ('share', 'verification')
 GROUP BY t.id
HAVING t.amount_micro <> COALESCE(sum(r.owner_micro), 0) OR bool_or(a.owner_id IS DISTINCT FROM u.owner_id)
"""
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

# name -> (what it says, query)
CHECKS: dict[str, tuple[str, str]] = {
    "balances": ("stored balance = sum of transfers", BALANCES),
    "floors": ("no wallet or hold below zero", FLOORS),
    "sums": ("debits = credits in every currency", SUMS),
    "reversals": ("a reversal mirrors what it reverses", REVERSALS),
    "top_ups": ("a top-up is its transfer", TOP_UPS),
    "top_ups_missing": ("a top-up transfer has its top-up", TOP_UPS_MISSING),
    "card_top_ups": ("a top-up by card is paid when its money is there", CARD_TOP_UPS),
    "stripe_booked": ("what Stripe booked, we posted", STRIPE_BOOKED),
    "stripe_fees": ("a fee that Stripe took is our expense", STRIPE_FEES),
    "stripe_unbooked": ("what we posted a day ago, Stripe has booked", STRIPE_UNBOOKED),
    "stripe_clearing": ("what is at Stripe came from there", STRIPE_CLEARING),
    "holds": ("held = what open orders may still cost", HOLDS),
    "orders_held": ("an order's hold was transferred", ORDERS_HELD),
    "orders_released": ("a closed order's rest went back", ORDERS_RELEASED),
    "orders_charged": ("an order's charge = its rated usage", ORDERS_CHARGED),
    "payables": ("an owner's credits = the owner's rated usage", PAYABLES),
    "shares": ("a payment = its rated usage, to its owner", SHARES),
    "revenue": ("a revenue transfer = its rated usage", REVENUE),
    "usage_settled": ("usage is settled when it is rated", USAGE_SETTLED),
    "usage_ordered": ("usage belongs to an order", USAGE_ORDERED),
}

MOVED = """
WITH legs AS (
    SELECT debit_id AS account_id, amount_micro FROM billing_ledgertransfer
    UNION ALL SELECT credit_id, -amount_micro FROM billing_ledgertransfer
), moved AS (
    SELECT account_id, sum(amount_micro) AS micro, count(*) AS transfers FROM legs GROUP BY account_id
)
"""


@dataclass(frozen=True)
class Difference:
    """One thing that does not add up. Amounts are micro-units, or 1 and 0 for yes and no."""

    check: str
    subject: str
    expected_micro: int
    actual_micro: int

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: expected {self.expected_micro}, found {self.actual_micro}"


def recompute() -> list[Difference]:
    """Compute balances, holds, orders, payments and top-ups again from the rows beneath. Empty: all agree."""
    parts = " UNION ALL ".join(
        f"SELECT '{name}', found.* FROM ({query}) AS found (subject, expected, actual)"  # noqa: S608 - constants
        for name, (_, query) in CHECKS.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{MOVED} {parts} ORDER BY 1, 2")
        return [Difference(name, subject, int(expected), int(actual)) for name, subject, expected, actual in cursor]
