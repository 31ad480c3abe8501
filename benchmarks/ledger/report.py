"""The report, docs/ledger-speed.md: each of our shapes beside the two ways to use the peer."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

Rates = dict[tuple[str, str], list[float]]  # (side, shape) -> transfers a second, for each round

TARGET = 20
SET_BASED = "set-based, `ledger.post`"

# (row, our shape, hordak's shape as its documentation posts, hordak's shape as fast as its models allow). Of the last
# two the report takes the faster one as hordak's quickest.
ROWS = [
    ("one by one", "one by one", "one by one", "one by one, quickest"),
    ("hot account", "hot account", "hot account", "hot account, quickest"),
    (SET_BASED, "set-based", "one by one", "set-based"),
    ("set-based, SQL", "set-based, SQL", "one by one", "set-based"),
    ("one settlement", "one settlement", "one settlement", "set-based"),
]


def report(rates: Rates, command: str, version: str, batch: int, tried: Mapping[int, float]) -> str:
    """Return the report as Markdown. `tried` is batch size -> transfers a second of the peer."""
    from benchmarks.machine import described

    best = max(tried, key=lambda size: tried[size])
    lines = [
        "# Transfers posted per second, beside django-hordak",
        "",
        f"`{command}`",
        "",
        *described("django", "psycopg"),
    ]
    lines += [
        f"- Peer: django-hordak {version} on the same PostgreSQL, in a database of its own, durable as ours",
        f"- Batches: ours {batch:,}; hordak's {best:,}, its best (transfers a second:"
        f" {', '.join(f'{size:,}: {rate:,.0f}' for size, rate in tried.items())})",
        f"- {len(rates['ours', 'one by one'])} interleaved rounds in alternating order; median (smallest to largest);"
        " ratios are taken in each round",
        "",
        "| shape | ours, transfers/s | hordak as documented | ratio | hordak's quickest | ratio |",
        "|--|--|--|--|--|--|",
    ]
    ratios = {row: _ratios(rates, *shapes) for row, *shapes in ROWS}
    for row, shape, documented, quickest in ROWS:
        peer = _quicker(rates, documented, quickest)
        cells = [
            row,
            _spread(rates["ours", shape]),
            _spread(rates["hordak", documented]),
            ratios[row][0],
            _spread(peer),
            ratios[row][1],
        ]
        lines.append(
            "| " + " | ".join(cell if isinstance(cell, str) else f"**{_spread(cell, 1)}**" for cell in cells) + " |"
        )
    reading = _reading(*ratios[SET_BASED], rates["ours", "set-based"], rates["ours", "set-based, SQL"])
    return "\n".join([*lines, "", *reading, "", *NOT_ALIKE, ""])


def _ratios(rates: Rates, shape: str, documented: str, quickest: str) -> tuple[list[float], list[float]]:
    """Return our rate divided by the peer's, for each round: as documented, and by its quickest way."""
    ours = rates["ours", shape]
    peers = rates["hordak", documented], _quicker(rates, documented, quickest)
    first, second = ([our / peer for our, peer in zip(ours, peer, strict=True)] for peer in peers)
    return first, second


def _quicker(rates: Rates, *shapes: str) -> list[float]:
    """Return the rates of the shape with the larger median."""
    return max((rates["hordak", shape] for shape in shapes), key=median)


def _reading(documented: list[float], quickest: list[float], ours: list[float], sql: list[float]) -> list[str]:
    """Return lines that say which ratio reaches the target."""
    target_us = 1e6 / median(ours) * median(quickest) / TARGET
    return [
        f"The target is {TARGET} times the speed of hordak. It compares our set-based posting with hordak as its"
        " documentation posts: `Account.transfer_to`, with a commit for",
        f"each transfer. It is **{_verdict(documented)}: {median(documented):.1f}** (earlier research measured 69 to"
        " 100 for SQL alone). Many small commits suffer more from other",
        "programs on the machine than a batch does, so the ratio grows with the load: rely on the smaller figures.",
        "",
        f"Compared with hordak's own `bulk_create` it is **{_verdict(quickest)}: {median(quickest):.1f}**."
        f" {TARGET} times that would leave {target_us:.0f} microseconds for a transfer here; PostgreSQL",
        f"alone takes {1e6 / median(sql):.0f} for a row with six indexes, a random public id and a look-up of its key."
        " Statements, invoices and operators need two of these",
        "indexes and the id.",
    ]


def _verdict(ratios: list[float]) -> str:
    return "reached" if median(ratios) >= TARGET else "not reached"


NOT_ALIKE = (
    "**As documented**: `Account.transfer_to` in `transaction.atomic()`, one commit each; the settlement is hordak's",
    "own model of one, a transaction with a leg for each payee by `bulk_create`, each leg checked by a trigger that",
    "sums them all. **Quickest**: one by one, both legs of a transfer in one `bulk_create`; otherwise many",
    "transactions of two legs in two `bulk_create`, also for the settlement.",
    "",
    "What each side does not do: hordak checks that each transaction balances, in a trigger for each leg; it has no",
    "idempotency key, no floor, no append-only rule and keeps no balance (it sums legs when asked). Ours does all four",
    "in the same statement; a transfer has one debit and one credit, hordak's transaction any number of legs.",
    "`transfer_to` returns its transaction as an object; `ledger.post` reads the rows that it wrote only when asked,",
    "with another query.",
)


def _spread(values: list[float], digits: int = 0) -> str:
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"
