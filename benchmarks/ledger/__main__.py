"""`python -m benchmarks.ledger`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from typing import Protocol

from benchmarks import program
from benchmarks.ledger.report import Rates, report

BATCH = 10_000
PEER_BATCHES = (100, 200, 500, 1_000, 2_000)  # which is its best is tried out before the rounds
PAYEES = 5_000  # of one settlement
TRIED = 4_000  # transfers to try a batch with
LESS = 20  # --quick: so many times fewer transfers

# Side, shape, transfers a round: each works for a few seconds, the two sides in turn.
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
    """Ours or the peer's."""

    def run(self, shape: str, count: int, batch: int) -> float:
        """Seconds for `count` transfers of a shape, in batches of so many."""


def main() -> int:
    options = arguments()
    return program.run(lambda: _measure(options.rounds, LESS if options.quick else 1), options, connections=8)


def _measure(rounds: int, less: int) -> tuple[str, bool]:
    from benchmarks.ledger.ours import Ours
    from benchmarks.ledger.peer import Peer

    peer, ours = Peer(), Ours()
    ours.run("set-based", BATCH, BATCH)  # untimed, as what the peer tries out: nobody begins with empty tables
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
            f"round {number + 1}: " + ", ".join(f"{' '.join(key)} {found[-1]:,.0f}/s" for key, found in rates.items())
        )
    return report(rates, program.command("benchmarks.ledger"), peer.version(), BATCH, tried), True


def arguments() -> argparse.Namespace:
    parser = program.parser(
        "ledger",
        quick=f"one round of a {LESS}th of the transfers, one size of the peer's batches",
        out="docs/ledger-speed.md",
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    return program.parse(parser, rounds=1)


if __name__ == "__main__":
    sys.exit(main())
