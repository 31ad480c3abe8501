"""The chains around a statement's records: which numbers between them are not in it and why, and how the register ran on."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from billing.verifier.format import Gap

BATCH = 2_000

# By the computer's public id, since that is what records name. One row for each gap and reason.
BETWEEN = """
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
BEFORE = """
SELECT f.node, COALESCE(sum(m.energy_mwh), 0)::bigint
  FROM unnest(%s::uuid[], %s::bigint[]) AS f(node, first_seq)
  JOIN compute_node n ON n.public_id = f.node
  LEFT JOIN compute_meterrecord m ON m.node_id = n.id AND m.seq < f.first_seq
 GROUP BY f.node
"""


@dataclass
class Spans:
    """The numbers that a package holds of each chain: takes them in order, remembers where each begins and is interrupted."""

    first: dict[str, int] = field(default_factory=dict)
    gaps: list[tuple[str, int, int]] = field(default_factory=list)
    _last: tuple[str, int] = ("", 0)

    def add(self, node: str, seq: int) -> None:
        if node not in self.first:
            self.first[node] = seq
        elif seq > self._last[1] + 1:
            self.gaps.append((node, self._last[1] + 1, seq - 1))
        self._last = (node, seq)


@dataclass
class Chain:
    """What is known of the numbers around a package's records."""

    gaps: list[Gap]
    energy_between: dict[tuple[str, int], int]  # by computer and the gap's last number
    energy_before: dict[str, int]

    def registers(self, runs: Iterable[tuple[str, int, int]]) -> Iterator[int]:
        """The register at the beginning of each run (computer, first number, energy), which come in the chain's order."""
        now = dict(self.energy_before)
        for node, first_seq, energy_mwh in runs:
            now[node] += self.energy_between.get((node, first_seq - 1), 0)
            yield now[node]
            now[node] += energy_mwh


def read(spans: Spans) -> Chain:
    why: dict[tuple[str, int, int], dict[str, int]] = {gap: {} for gap in spans.gaps}
    energy: dict[tuple[str, int], int] = defaultdict(int)
    for start in range(0, len(spans.gaps), BATCH):
        gaps = spans.gaps[start : start + BATCH]
        for node, first_seq, last_seq, energy_mwh, count, reason in _rows(BETWEEN, list(zip(*gaps, strict=True))):
            why[str(node), first_seq, last_seq][reason] = count
            energy[str(node), last_seq] += energy_mwh
    before = dict(_rows(BEFORE, [list(spans.first), list(spans.first.values())]))
    return Chain(
        gaps=[Gap(node=node, first_seq=first, last_seq=last, why=why[node, first, last]) for node, first, last in why],
        energy_between=energy,
        energy_before={str(node): energy_mwh for node, energy_mwh in before.items()},
    )


def _rows(sql: str, arrays: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(array) for array in arrays])
        return list(cursor.fetchall())
