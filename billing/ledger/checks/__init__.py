"""Everything that money must add up to, computed again from the rows beneath it, one file a subject.

Each check is a query of (subject, expected, actual) that returns only what differs. All are parts of one statement, so that
they see one moment of a database that goes on working.

They read whole tables and are slow by nature: a check that trusted an index or a sum of yesterday would not be one. Those
in NIGHTLY read every usage record, of which there are the most; the others read transfers and documents.
"""

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection

from billing.ledger.checks import accounts, disputes, invoices, orders, statements, stripe, top_ups, usage

# name -> (what it says, query)
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
# Rows that several checks look at. PostgreSQL reads one only when a check of the statement names it.
WITH = {**accounts.WITH, **usage.WITH, **disputes.WITH, **stripe.WITH, **statements.WITH, **invoices.WITH}


@dataclass(frozen=True)
class Difference:
    """One thing that does not add up. Amounts are micro-units, or 1 and 0 for yes and no."""

    check: str
    subject: str
    expected_micro: int
    actual_micro: int

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: expected {self.expected_micro}, found {self.actual_micro}"


def recompute(names: Collection[str] = tuple(CHECKS)) -> list[Difference]:
    """Compute balances, documents and payments again from the rows beneath. Empty: all agree."""
    shared = ", ".join(f"{name} AS ({query})" for name, query in WITH.items())
    parts = " UNION ALL ".join(
        f"SELECT '{name}', found.* FROM ({CHECKS[name][1]}) AS found (subject, expected, actual)"  # noqa: S608 - constants
        for name in names
    )
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {shared} {parts} ORDER BY 1, 2")
        return [Difference(name, subject, int(expected), int(actual)) for name, subject, expected, actual in cursor]
