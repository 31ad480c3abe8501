"""Checks of accounts against the transfers that moved them."""

# The stored balance and the count of transfers (`version`) of every tracked account.
BALANCES = """
SELECT a.key, COALESCE(a.side * moved.micro, 0), a.balance_micro
  FROM billing_ledgeraccount a LEFT JOIN moved ON moved.account_id = a.id
 WHERE a.tracked
   AND (a.balance_micro <> COALESCE(a.side * moved.micro, 0) OR a.version <> COALESCE(moved.transfers, 0))
"""
FLOORS = "SELECT key, 0, balance_micro FROM billing_ledgeraccount WHERE floor_zero AND balance_micro < 0"
# Debits minus credits by the currency of the accounts: zero, unless a transfer joined accounts of two currencies.
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

CHECKS = {
    "balances": ("stored balance = sum of transfers", BALANCES),
    "floors": ("no wallet, hold or reserve below zero", FLOORS),
    "sums": ("debits = credits in every currency", SUMS),
    "reversals": ("a reversal mirrors what it reverses", REVERSALS),
}
WITH = {
    "legs": """
    SELECT debit_id AS account_id, amount_micro FROM billing_ledgertransfer
    UNION ALL SELECT credit_id, -amount_micro FROM billing_ledgertransfer
    """,
    "moved": "SELECT account_id, sum(amount_micro) AS micro, count(*) AS transfers FROM legs GROUP BY account_id",
}
