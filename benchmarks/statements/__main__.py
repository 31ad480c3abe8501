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
# Table -> columns that are moved into the past (see `_past`).
PASSING = {
    "billing_ledgertransfer": ("effective_at", "posted_at"),
    "billing_statement": ("created_at", "period_start_at", "period_end_at"),
}


@dataclass
class Outcome:
    """Counts and seconds: to settle, to close, to close again, and to close what a few owners earned since."""

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
    """Measure, print the report and return the exit code."""
    options = arguments()

    def measure() -> tuple[str, bool]:
        outcome = _run(options.owners, options.transfers)
        return report(outcome, program.command("benchmarks.statements")), not outcome.differences

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
    # Each car has one record in an order, so every record becomes a transfer of its own: the worst case.
    data.make(data.Shape(usage=owners * each, cars=owners, units=order, cars_each=order))
    print("Settling", flush=True)
    _, settle_s = timed(lambda: sum(iter(lambda: settle_usage(limit=25_000), 0)))
    until = timezone.now()
    print("Closing", flush=True)
    closed, close_s = timed(lambda: statements.close_due(until=until))
    payouts = Payout.objects.count()
    again, again_s = timed(lambda: statements.close_due(until=until))
    assert again == 0, "a period was closed twice"
    _past(timedelta(days=30))
    _later(owners // 100)
    later, later_s = timed(lambda: statements.close_due(until=timezone.now()))
    names = [
        name for name in ledger_checks.CHECKS if "statement" in name or "payout" in name or name == "payables_stated"
    ]
    differences, check_s = timed(lambda: len(posting.recompute(names)))
    transfers = LedgerTransfer.objects.filter(Q(credit__kind="payable"), kind__in=["share", "verification"]).count()
    return Outcome(transfers, settle_s, closed, close_s, payouts, again_s, later, later_s, differences, check_s)


def _past(span: timedelta) -> None:
    """Move statements and transfers back by `span`, as if that much time had passed.

    Otherwise all would lie within the last day, which every closing reads again because clocks may differ.
    """
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("SET LOCAL session_replication_role = replica")
        for table, columns in PASSING.items():
            changes = sql.SQL(", ").join(
                sql.SQL("{0} = {0} - %(span)s").format(sql.Identifier(name)) for name in columns
            )
            owner.execute(sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), changes), {"span": span})
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")


def _later(count: int) -> None:
    """Post a small movement for each of the first owners, as happens between two closings."""
    from billing.ledger import posting
    from billing.ledger.posting import AccountName, Posting
    from billing.models import LedgerAccount

    place = AccountName(kind="adjustment", currency="USD")
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
    """Return the result of `work` and its seconds."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def report(outcome: Outcome, command: str) -> str:
    """Return the report as Markdown."""
    from benchmarks.machine import described
    from billing.statements.statements import CHUNK

    return "\n".join(
        [
            f"# {outcome.statements:,} owners' statements closed",
            "",
            f"`{command}`",
            "",
            *described("django", "psycopg"),
            f"- One process, {CHUNK} owners in a transaction, durable, every trigger and constraint on; each record "
            "is a transfer",
            "",
            "| step | seconds | a second |",
            "|--|--|--|",
            f"| close {outcome.statements:,} statements of {outcome.transfers:,} transfers, with {outcome.payouts:,} "
            "payouts posted and mails queued "
            f"| **{outcome.close_s:.1f}** | {outcome.statements / outcome.close_s:,.0f} statements |",
            f"| ask again, as each hour does: nothing is left | {outcome.again_s:.2f} | |",
            f"| close the next month, in which {outcome.later:,} owners had one movement | {outcome.later_s:.2f} | |",
            f"| compute statements and payouts again: {outcome.differences} differences | {outcome.check_s:.1f} | |",
            f"| before that: rate and settle the {outcome.transfers:,} records | {outcome.settle_s:.1f} | |",
            "",
        ]
    )


def arguments() -> argparse.Namespace:
    """Return the command's options. Exits on bad ones."""
    parser = program.parser("statements", quick="200 owners, 5 transfers each", out="docs/statement-speed.md")
    parser.add_argument("--owners", type=int, default=20_000, help="owners, each with a car (default 20,000)")
    parser.add_argument("--transfers", type=int, default=50, help="transfers of each owner (default 50)")
    return program.parse(parser, owners=200, transfers=5)


if __name__ == "__main__":
    sys.exit(main())
