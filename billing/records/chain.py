"""The meter chains around a statement's records: missing sequence numbers with their reasons, and energy registers.

A computer numbers all that it signs (`seq`). A package holds only the records that one statement pays, so numbers in
between are missing: the manifest names each gap and says why, and OCMF records need the register, which counts the
missing records too.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from billing.verifier.format import Gap

BATCH = 2_000  # gaps in one query

# Takes gaps as arrays of (computer's public id, first seq, last seq). One row for each gap and reason: the energy and
# the number of its records, and the reason in words. The first condition that holds decides.
ENERGY_BETWEEN = """
SELECT g.node, g.first_seq, g.last_seq, sum(m.energy_mwh)::bigint, count(*),
       CASE WHEN s.number IS NOT NULL THEN 'paid by statement ' || s.number
            WHEN r.owner_transfer_id IS NOT NULL THEN 'paid, on no statement yet'
            WHEN r.id IS NOT NULL THEN 'worth less than a millionth'
            WHEN u.id IS NOT NULL THEN 'being settled'
            WHEN m.outcome <> 'ok' THEN 'not paid: ended with ' || m.outcome
            WHEN m.attempt_id IS NULL THEN 'not paid: about work that was not its own'
            WHEN a.status = 'reported' THEN 'being checked'
            WHEN a.status = 'valid' THEN 'not paid: this work was paid by another record'
            ELSE 'not paid: ' || COALESCE(NULLIF(a.status_code, ''), a.status) END AS why
  FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS g(node, first_seq, last_seq)
  JOIN compute_node n ON n.public_id = g.node
  JOIN compute_meterrecord m ON m.node_id = n.id AND m.seq BETWEEN g.first_seq AND g.last_seq
  LEFT JOIN compute_attempt a ON a.id = m.attempt_id
  LEFT JOIN compute_usagerecord u ON u.meter_record_id = m.id
  LEFT JOIN billing_ratedusage r ON r.usage_id = u.id
  LEFT JOIN billing_statemententry e ON e.transfer_id = r.owner_transfer_id
  LEFT JOIN billing_statement s ON s.id = e.statement_id
 GROUP BY g.node, g.first_seq, g.last_seq, why
"""
# The energy that each computer had signed before its first record in the package.
ENERGY_BEFORE = """
SELECT f.node, COALESCE(sum(m.energy_mwh), 0)::bigint
  FROM unnest(%s::uuid[], %s::bigint[]) AS f(node, first_seq)
  JOIN compute_node n ON n.public_id = f.node
  LEFT JOIN compute_meterrecord m ON m.node_id = n.id AND m.seq < f.first_seq
 GROUP BY f.node
"""


@dataclass
class Spans:
    """Where each computer's chain begins in a package, and which numbers it skips.

    Records are added by computer and number.
    """

    first: dict[str, int] = field(default_factory=dict)
    gaps: list[tuple[str, int, int]] = field(default_factory=list)
    _last: tuple[str, int] = ("", 0)

    def add(self, node: str, seq: int) -> None:
        """Take the next record's computer and number."""
        if node not in self.first:
            self.first[node] = seq
        elif seq > self._last[1] + 1:
            self.gaps.append((node, self._last[1] + 1, seq - 1))
        self._last = (node, seq)


@dataclass
class Chain:
    """The gaps between a package's records and the energy (mWh) signed outside them."""

    gaps: list[Gap]
    energy_between: dict[tuple[str, int], int]  # (computer, last number of the gap) -> mWh
    energy_before: dict[str, int]  # computer -> mWh before its first record in the package

    def registers(self, runs: Iterable[tuple[str, int, int]]) -> Iterator[int]:
        """Yield the register (mWh) at the beginning of each run.

        `runs` are (computer, first number, energy in mWh) in the order of their chains.
        """
        registers = dict(self.energy_before)
        for node, first_seq, energy_mwh in runs:
            registers[node] += self.energy_between.get((node, first_seq - 1), 0)
            yield registers[node]
            registers[node] += energy_mwh


def read(spans: Spans) -> Chain:
    """Read the reasons of all gaps, and the energy before and in them, from the database."""
    why: dict[tuple[str, int, int], dict[str, int]] = {gap: {} for gap in spans.gaps}
    energy: dict[tuple[str, int], int] = defaultdict(int)
    for start in range(0, len(spans.gaps), BATCH):
        gaps = spans.gaps[start : start + BATCH]
        for node, first_seq, last_seq, energy_mwh, count, reason in _rows(
            ENERGY_BETWEEN, list(zip(*gaps, strict=True))
        ):
            why[str(node), first_seq, last_seq][reason] = count
            energy[str(node), last_seq] += energy_mwh
    before = dict(_rows(ENERGY_BEFORE, [list(spans.first), list(spans.first.values())]))
    return Chain(
        gaps=[Gap(node=node, first_seq=first, last_seq=last, why=why[node, first, last]) for node, first, last in why],
        energy_between=energy,
        energy_before={str(node): energy_mwh for node, energy_mwh in before.items()},
    )


def _rows(sql: str, arrays: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(array) for array in arrays])
        return list(cursor.fetchall())
