"""`python -m benchmarks.ledger`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

from benchmarks import program

# Shape, transfers a round for us and for the peer: each side works for a few seconds.
SHAPES = [("one by one", 2_000, 1_000), ("hot account", 2_000, 1_000), ("set-based", 50_000, 5_000)]
SETTLEMENT = (
    "one settlement",
    5_000,
    5_000,
)  # of one job with so many payees: never a tenth of it, its size is its point
SQL = "set-based, SQL"
BATCHES = (10_000, 1_000)  # ours; the peer's trigger sums a transaction's legs for each leg: its own best size


class Side(Protocol):
    """Ours or the peer's."""

    def run(self, shape: str, count: int, batch: int) -> float:
        """Seconds for `count` transfers of a shape, in batches of so many."""


@dataclass
class Rates:
    """Transfers a second of each round."""

    ours: dict[str, list[float]] = field(default_factory=dict)
    peer: dict[str, list[float]] = field(default_factory=dict)


def main() -> int:
    options = arguments()
    return program.run(lambda: _measure(options.rounds, 10 if options.quick else 1), out=options.out, connections=8)


def _measure(rounds: int, less: int) -> tuple[str, bool]:
    from benchmarks.ledger.ours import Ours
    from benchmarks.ledger.peer import Peer

    peer, ours, rates = Peer(), Ours(), Rates()
    for number in range(rounds):
        _round(number, ours, peer, rates, less)
    return report(rates, program.command("benchmarks.ledger"), peer.version()), True


def _round(number: int, ours: Side, peer: Side, rates: Rates, less: int) -> None:
    """Every shape on both sides, in alternating order."""
    for shape, our_count, peer_count in SHAPES:
        sides = [("ours", ours, our_count, BATCHES[0]), ("peer", peer, peer_count, BATCHES[1])]
        for name, side, count, batch in sides if number % 2 else reversed(sides):
            seconds = side.run(shape, count // less, batch)
            getattr(rates, name).setdefault(shape, []).append(count // less / seconds)
    for name, side in (("ours", ours), ("peer", peer)):
        shape, count, _ = SETTLEMENT
        getattr(rates, name).setdefault(shape, []).append(count / side.run(shape, count, count))
    count = SHAPES[-1][1] * 4 // less
    rates.ours.setdefault(SQL, []).append(count / ours.run(SQL, count, BATCHES[0]))
    print(f"round {number + 1}: " + ", ".join(f"{shape} {found[-1]:,.0f}/s" for shape, found in rates.ours.items()))


def report(rates: Rates, command: str, version: str) -> str:
    from benchmarks.machine import described

    lines = ["# Transfers posted per second, beside django-hordak", "", f"`{command}`", ""]
    lines += described("django", "psycopg")
    lines += [
        f"- Peer: django-hordak {version} on the same PostgreSQL, in a database of its own, durable as ours; batches of"
        f" {BATCHES[1]:,} (larger ones are slower there), ours of {BATCHES[0]:,}",
        f"- {len(rates.ours['one by one'])} interleaved rounds in alternating order; median (smallest to largest)", "",
        "| shape | ours, transfers/s | hordak, transfers/s | ratio |", "|--|--|--|--|",
    ]  # fmt: skip
    for shape, found in rates.ours.items():
        theirs = rates.peer.get(shape) or rates.peer["set-based"]
        lines.append(f"| {shape} | {_spread(found)} | {_spread(theirs)} | **{median(found) / median(theirs):.1f}** |")
    return "\n".join([*lines, "", *NOT_ALIKE, ""])


NOT_ALIKE = (
    "What either side does not do: hordak checks that each transaction balances, in a trigger for each leg; it knows no",
    "idempotency key, no floor, no append-only rule and keeps no balance (it sums legs when asked). Ours does all four in",
    "the same statement; a transfer has one debit and one credit, hordak's transaction any number of legs.",
)


def _spread(found: list[float]) -> str:
    return f"{median(found):,.0f} ({min(found):,.0f}-{max(found):,.0f})"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the transfers, for smoke")
    parser.add_argument("--out", type=Path, help="write the report here (docs/ledger-speed.md)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
