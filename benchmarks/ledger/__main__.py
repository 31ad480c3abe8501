"""`python -m benchmarks.ledger`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from typing import Protocol

from benchmarks import program
from benchmarks.ledger.report import Rates, report

BATCH = 10_000
PEER_BATCHES = (100, 200, 500, 1_000, 2_000)  # batch sizes of the peer; the fastest is found before the rounds
PAYEES = 5_000  # of one settlement
TRIED = 4_000  # transfers with which each of these sizes is tried
LESS = 20  # --quick divides the number of transfers by this

# (side, shape, transfers of a round). Each takes a few seconds; the two sides take turns.
TURNS = [
    ("ours", "one by one", 2_000),
    ("hordak", "one by one", 1_500),
    ("hordak", "one by one, quickest", 1_500),
    ("ours", "hot account", 2_000),
    ("hordak", "hot account", 1_500),
    ("hordak", "hot account, quickest", 1_500),
    ("ours", "set-based", 100_000),
    ("hordak", "set-based", 15_000),
    ("ours", "set-based, SQL", 150_000),
    ("hordak", "one settlement", PAYEES),
    ("ours", "one settlement", PAYEES),
]


class Side(Protocol):
    """One side of the comparison: ours or the peer's."""

    def run(self, shape: str, count: int, batch: int) -> float:
        """Return the seconds for `count` transfers of a shape, in batches of `batch`."""


def main() -> int:
    """Measure, print the report and return the exit code."""
    options = arguments()
    return program.run(lambda: _measure(options.rounds, LESS if options.quick else 1), options, connections=8)


def _measure(rounds: int, less: int) -> tuple[str, bool]:
    from benchmarks.ledger.ours import Ours
    from benchmarks.ledger.peer import Peer

    peer, ours = Peer(), Ours()
    ours.run("set-based", BATCH, BATCH)  # untimed, as the peer's trials are: neither side begins with empty tables
    tried = {batch: TRIED // less / peer.run("set-based", TRIED // less, batch) for batch in PEER_BATCHES[::less]}
    sides: dict[str, tuple[Side, int]] = {
        "ours": (ours, BATCH),
        "hordak": (peer, max(tried, key=lambda size: tried[size])),
    }
    rates: Rates = defaultdict(list)
    for number in range(rounds):
        for name, shape, full in TURNS if number % 2 else reversed(TURNS):
            side, batch = sides[name]
            count = full // less
            rates[name, shape].append(count / side.run(shape, count, batch))
        print(
            f"round {number + 1}: "
            + ", ".join(f"{' '.join(key)} {by_round[-1]:,.0f}/s" for key, by_round in rates.items())
        )
    return report(rates, program.command("benchmarks.ledger"), peer.version(), BATCH, tried), True


def arguments() -> argparse.Namespace:
    """Return the command's options. Exits on bad ones."""
    parser = program.parser(
        "ledger",
        quick=f"one round with a {LESS}th of the transfers, and one batch size of the peer",
        out="docs/ledger-speed.md",
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    return program.parse(parser, rounds=1)


if __name__ == "__main__":
    sys.exit(main())
