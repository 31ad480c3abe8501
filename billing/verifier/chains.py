"""Check the cars' chains: a record must continue the one before it, and the manifest must name every missing number.

A car numbers all that it signs. Work that failed, was not paid, or is paid by another statement is in the chain too,
but not in this package, so a missing number is no error. Two records with consecutive numbers that do not fit together
are one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from billing.verifier.errors import Finding
from billing.verifier.format import Gap
from billing.verifier.records import AddFinding, CheckedRecord


@dataclass(frozen=True)
class MissingRange:
    """A gap between two records of a computer that are in the package: both numbers are part of the gap."""

    node: str
    first_seq: int
    last_seq: int


@dataclass
class Chains:
    """Checks records, added in order of computer and number.

    `links` counts the records that continue the one before.
    """

    links: int = 0
    missing: list[MissingRange] = field(default_factory=list)
    _last: CheckedRecord | None = None

    def add(self, checked: CheckedRecord, add_finding: AddFinding) -> None:
        """Check that the record continues the last one, or note the gap between them. Findings go to `add_finding`."""
        last, self._last = self._last, checked
        if last is None or last.record.node != checked.record.node:
            return
        if checked.record.seq == last.record.seq + 1:
            self.links += 1
            if checked.payload.prev != last.hash:
                where = f"record {checked.record.seq} of {checked.record.node}"
                add_finding(Finding("chain_broken", where, "It does not continue the record before it."))
        elif checked.record.seq > last.record.seq:
            self.missing.append(MissingRange(checked.record.node, last.record.seq + 1, checked.record.seq - 1))

    def check_named(self, gaps: Iterable[Gap], add_finding: AddFinding) -> None:
        """Check that the manifest's gaps are those found, and explain each missing number.

        Findings go to `add_finding`.
        """
        named = {(gap.node, gap.first_seq, gap.last_seq): gap for gap in gaps}
        found = {(gap.node, gap.first_seq, gap.last_seq) for gap in self.missing}
        for node, first, last in sorted(named.keys() ^ found):
            where = f"records {first} to {last} of {node}"
            add_finding(
                Finding("gap_unnamed", where, "The gaps that the manifest names are not the gaps in the records.")
            )
        for (node, first, last), gap in named.items():
            if sum(gap.why.values()) != last - first + 1:
                where = f"records {first} to {last} of {node}"
                add_finding(
                    Finding("gap_unnamed", where, "The manifest does not explain all of these missing records.")
                )
