"""`python -m benchmarks.statements`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql

from benchmarks import program

CARS_OF_AN_ORDER = 200
PASSING = {
    "billing_ledgertransfer": ("effective_at", "posted_at"),
    "billing_statement": ("created_at", "period_start_at", "period_end_at"),
}


@dataclass
class Outcome:
    """Counts, and seconds: to make what is to be closed, to close it, to ask again, and to close what a few owners had since."""

    transfers: int
    settle_s: float
    statements: int
    close_s: float
    payouts: int
    again_s: float
    later: int
    later_s: float
    differences: int
    check_s: float


def main() -> int:
    options = arguments()

    def measure() -> tuple[str, bool]:
        found = _run(options.owners, options.transfers)
        return report(found, program.command("benchmarks.statements")), not found.differences

    return program.run(measure, options, connections=8, settings={"PAYOUT_MIN_MICRO": "10000"})


def _run(owners: int, each: int) -> Outcome:
    from django.db.models import Q
    from django.utils import timezone

    from benchmarks.settlement import data
    from billing.ledger import checks as ledger_checks
    from billing.ledger import posting
    from billing.models import LedgerTransfer, Payout
    from billing.orders.settlement import settle_usage
    from billing.statements import statements

    print(f"Making {owners * each:,} usage records of {owners:,} owners", flush=True)
    order = min(owners, CARS_OF_AN_ORDER)
    # An order has one record of each of its cars: so each record is a transfer of its own, the worst case.
    data.make(data.Shape(usage=owners * each, cars=owners, units=order, cars_each=order))
    print("Settling", flush=True)
    _, settle_s = timed(lambda: sum(iter(lambda: settle_usage(limit=25_000), 0)))
    until = timezone.now()
    print("Closing", flush=True)
    made, close_s = timed(lambda: statements.close_due(until=until))
    paid = Payout.objects.count()
    again, again_s = timed(lambda: statements.close_due(until=until))
    assert again == 0, "a period was closed twice"
    _past(timedelta(days=30))
    _later(owners // 100)
    later, later_s = timed(lambda: statements.close_due(until=timezone.now()))
    names = [
        name for name in ledger_checks.CHECKS if "statement" in name or "payout" in name or name == "payables_stated"
    ]
    differences, check_s = timed(lambda: len(posting.recompute(names)))
    moves = LedgerTransfer.objects.filter(Q(credit__kind="payable"), kind__in=["share", "verification"])
    return Outcome(moves.count(), settle_s, made, close_s, paid, again_s, later, later_s, differences, check_s)


def _past(span: timedelta) -> None:
    """As if that much time had gone by: otherwise everything was posted in the day that is looked at again for clocks' sake."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("SET LOCAL session_replication_role = replica")
        for table, columns in PASSING.items():
            moved = sql.SQL(", ").join(sql.SQL("{0} = {0} - %(span)s").format(sql.Identifier(name)) for name in columns)
            owner.execute(sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), moved), {"span": span})
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")


def _later(count: int) -> None:
    """A small movement of the first owners, as it comes between two closings."""
    from billing.ledger import posting
    from billing.ledger.posting import Place, Posting
    from billing.models import LedgerAccount

    place = Place(kind="adjustment", currency="USD")
    source = posting.accounts([place])[place]
    posting.post(
        [
            Posting(
                kind="adjustment", debit=source, credit=account, amount_micro=1, idempotency_key=f"later:{account.pk}"
            )
            for account in LedgerAccount.objects.filter(kind="payable").order_by("id")[:count]
        ]
    )


def timed(work: Callable[[], int]) -> tuple[int, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def report(found: Outcome, command: str) -> str:
    from benchmarks.machine import described
    from billing.statements.statements import CHUNK

    return "\n".join(
        [
            f"# {found.statements:,} owners' statements closed",
            "",
            f"`{command}`",
            "",
            *described("django", "psycopg"),
            f"- One process, {CHUNK} owners in a transaction, durable, every trigger and constraint on; each record is a transfer",
            "",
            "| step | seconds | a second |",
            "|--|--|--|",
            f"| close {found.statements:,} statements of {found.transfers:,} transfers, with {found.payouts:,} payouts posted and mails queued "
            f"| **{found.close_s:.1f}** | {found.statements / found.close_s:,.0f} statements |",
            f"| ask again, as each hour does: nothing is left | {found.again_s:.2f} | |",
            f"| close the next month, in which {found.later:,} owners had one movement | {found.later_s:.2f} | |",
            f"| compute statements and payouts again: {found.differences} differences | {found.check_s:.1f} | |",
            f"| before that: rate and settle the {found.transfers:,} records | {found.settle_s:.1f} | |",
            "",
        ]
    )


def arguments() -> argparse.Namespace:
    parser = program.parser("statements", quick="200 owners, 5 transfers each", out="docs/statement-speed.md")
    parser.add_argument("--owners", type=int, default=20_000, help="owners, with a car each (default 20,000)")
    parser.add_argument("--transfers", type=int, default=50, help="transfers of each (default 50)")
    return program.parse(parser, owners=200, transfers=5)


if __name__ == "__main__":
    sys.exit(main())
