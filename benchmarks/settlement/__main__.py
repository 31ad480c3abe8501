"""`python -m benchmarks.settlement`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import program

PEER_BATCH = 1_000


@dataclass
class Outcome:
    """Counts, seconds, and the process's peak memory (MB) at each tenth of the settlement."""

    records: int
    settle_s: float
    memory_mb: list[float]
    statements: int
    statements_s: float
    invoices: int
    invoices_s: float
    differences: int
    check_s: float
    peer_records: int
    peer_rate: float


def main() -> int:
    """Measure, print the report and return the exit code."""
    options = arguments()

    def measure() -> tuple[str, bool]:
        outcome = _run(options.records, options.batch, options.peer_records)
        return report(outcome, program.command("benchmarks.settlement"), options.batch), not outcome.differences

    return program.run(measure, options, connections=8, settings={"PAYOUT_MIN_MICRO": "10000"})


def _run(records: int, batch: int, peer_records: int) -> Outcome:
    from django.utils import timezone

    from benchmarks.ledger.peer import Peer
    from benchmarks.settlement import data
    from billing.invoices import invoices
    from billing.orders.settlement import settle_usage
    from billing.statements import statements

    peer = Peer()
    print(f"Making {records:,} usage records", flush=True)
    data.make(data.Shape(usage=records))
    print("Settling", flush=True)
    memory, done, started = [], 0, time.perf_counter()
    while settled := settle_usage(limit=batch):
        done += settled
        while len(memory) < 10 * done // records:
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    settle_s = time.perf_counter() - started
    now = timezone.now()
    closed, statements_s = _timed(lambda: statements.close_due(until=now))
    billed, invoices_s = _timed(lambda: invoices.close_due(until=now))
    differences, check_s = _timed(_differences)
    peer_rate = peer_records / peer.run("set-based", peer_records, PEER_BATCH)
    return Outcome(
        done, settle_s, memory, closed, statements_s, billed, invoices_s, differences, check_s, peer_records, peer_rate
    )


def _differences() -> int:
    """Return the number of differences in the recomputed ledger.

    The check `adjustments` is left out: here the customers' money comes from adjustments that no two operators
    approved.
    """
    from billing.ledger import posting

    return sum(difference.check != "adjustments" for difference in posting.recompute())


def _timed(work: Callable[[], int]) -> tuple[int, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def report(outcome: Outcome, command: str, batch: int) -> str:
    """Return the report as Markdown."""
    from benchmarks.machine import described

    ours = outcome.records / outcome.settle_s
    return "\n".join(
        [
            f"# {outcome.records:,} usage records rolled up and settled",
            "",
            f"`{command}`",
            "",
            *described("django", "psycopg"),
            f"- One process, batches of {batch:,}, durable, every trigger and constraint on; peer: django-hordak on "
            "the same PostgreSQL,",
            f"  {outcome.peer_records:,} two-leg transactions by `bulk_create`, batches of {PEER_BATCH:,}: one for "
            "each record, since it has no roll-up",
            "",
            "| step | seconds | a second |",
            "|--|--|--|",
            f"| rate, post, roll up by day: {outcome.records:,} records | **{outcome.settle_s:.1f}** | {ours:,.0f} "
            "records |",
            f"| close owners' statements: {outcome.statements:,} | {outcome.statements_s:.1f} | |",
            f"| close customers' invoices: {outcome.invoices:,} | {outcome.invoices_s:.1f} | |",
            f"| compute the whole ledger again (`check_ledger`): {outcome.differences} differences | "
            f"{outcome.check_s:.1f} | |",
            f"| hordak: one transaction a record | | {outcome.peer_rate:,.0f} records |",
            "",
            f"Ratio to hordak: **{ours / outcome.peer_rate:.1f}**. Ours also rates each record, keeps its rating, and "
            "holds floors,",
            "keys and append-only rules; hordak's side only posts two legs that are ready.",
            "",
            "Peak memory of the process at each tenth, MB: " + ", ".join(f"{mb:.0f}" for mb in outcome.memory_mb),
            "",
        ]
    )


def arguments() -> argparse.Namespace:
    """Return the command's options. Exits on bad ones."""
    parser = program.parser("settlement", quick="20,000 records, the peer's 2,000", out="docs/settlement-speed.md")
    parser.add_argument("--records", type=int, default=1_000_000, help="usage records (default a million)")
    parser.add_argument("--batch", type=int, default=25_000, help="records in one transaction (default 25,000)")
    parser.add_argument("--peer-records", type=int, default=50_000, help="records of the peer (default 50,000)")
    return program.parse(parser, records=20_000, batch=2_000, peer_records=2_000)


if __name__ == "__main__":
    sys.exit(main())
