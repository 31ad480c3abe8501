"""What the chain proves: records with consecutive numbers continue each other; numbers between them that are not here are named.

A car numbers all that it signs. Work that failed, that was not paid, or that another statement pays is in the chain too and not
in this package, so a missing number is no fault; that two records follow each other and do not fit is one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from billing.verifier.errors import Finding
from billing.verifier.format import Gap
from billing.verifier.records import Checked, Tell


@dataclass(frozen=True)
class Missing:
    node: str
    first_seq: int
    last_seq: int


@dataclass
class Chains:
    """Takes records by node and number, and says where they do not continue each other."""

    links: int = 0
    missing: list[Missing] = field(default_factory=list)
    _last: Checked | None = None

    def add(self, checked: Checked, tell: Tell) -> None:
        last, self._last = self._last, checked
        if last is None or last.record.node != checked.record.node:
            return
        if checked.record.seq == last.record.seq + 1:
            self.links += 1
            if checked.payload.prev != last.hash:
                where = f"record {checked.record.seq} of {checked.record.node}"
                tell(Finding("chain_broken", where, "It does not continue the record before it."))
        elif checked.record.seq > last.record.seq:
            self.missing.append(Missing(checked.record.node, last.record.seq + 1, checked.record.seq - 1))

    def check_named(self, gaps: Iterable[Gap], tell: Tell) -> None:
        """The platform names every gap, and says of all its numbers why they are not here."""
        named = {(gap.node, gap.first_seq, gap.last_seq): gap for gap in gaps}
        found = {(gap.node, gap.first_seq, gap.last_seq) for gap in self.missing}
        for node, first, last in sorted(named.keys() ^ found):
            tell(Finding("gap_unnamed", f"records {first} to {last} of {node}", "Missing here, or not, unlike named."))
        for (node, first, last), gap in named.items():
            if sum(gap.why.values()) != last - first + 1:
                tell(Finding("gap_unnamed", f"records {first} to {last} of {node}", "Not all of them are explained."))
