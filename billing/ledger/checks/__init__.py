"""The checks of the ledger: every balance, document and payment is computed again from the rows beneath it.

There is one file a subject.

A check is a query of (subject, expected, actual) that returns only what differs. All checks are parts of one SQL
statement, so that they see the same snapshot while other transactions continue.

They read whole tables and are slow: a check that trusted yesterday's sums would prove nothing. Those in NIGHTLY read
every usage record, the largest table; the others read transfers and documents.
"""

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection

from billing.ledger.checks import accounts, disputes, invoices, orders, statements, stripe, top_ups, usage

# name -> (description of at most 50 characters, query)
CHECKS: dict[str, tuple[str, str]] = {
    **accounts.CHECKS,
    **orders.CHECKS,
    **usage.CHECKS,
    **top_ups.CHECKS,
    **disputes.CHECKS,
    **stripe.CHECKS,
    **statements.CHECKS,
    **invoices.CHECKS,
}
NIGHTLY = frozenset(
    ("orders_charged", "payables", "shares", "revenue", "usage_settled", "usage_ordered", "earnings_days", "spend_days")
)
HOURLY = tuple(name for name in CHECKS if name not in NIGHTLY)
# Common table expressions that several checks use. PostgreSQL evaluates one only if a check of the statement refers to
# it.
WITH = {**accounts.WITH, **usage.WITH, **disputes.WITH, **stripe.WITH, **statements.WITH, **invoices.WITH}


@dataclass(frozen=True)
class Difference:
    """A difference that a check found. The amounts are micro-units, or 1 and 0 for yes and no."""

    check: str
    subject: str
    expected_micro: int
    actual_micro: int

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: expected {self.expected_micro}, found {self.actual_micro}"


def recompute(names: Collection[str] = tuple(CHECKS)) -> list[Difference]:
    """Run the named checks (by default all) and return the differences; none: everything adds up."""
    shared = ", ".join(f"{name} AS ({query})" for name, query in WITH.items())
    parts = " UNION ALL ".join(
        f"SELECT '{name}', found.* FROM ({CHECKS[name][1]}) AS found (subject, expected, actual)"  # noqa: S608
        for name in names
    )
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {shared} {parts} ORDER BY 1, 2")
        return [Difference(name, subject, int(expected), int(actual)) for name, subject, expected, actual in cursor]
