"""A statement as its page and its PDF show it: lines that add up, corrections and the sum."""

from dataclasses import dataclass

from billing.earnings.selectors import EarningsSum, RunningSum, total
from billing.models import Payout, Statement, StatementLine

WORK, CHECK = StatementLine.Kind.WORK, StatementLine.Kind.CHECK


@dataclass(frozen=True)
class Detail:
    """One statement with what its page shows."""

    statement: Statement
    work: list[EarningsSum[StatementLine]]  # verified work, and checking others' work
    work_total: EarningsSum[None]
    others: list[StatementLine]  # corrections, adjustments, amounts held or released in disputes, returned payouts
    payout: Payout | None

    def sums(self) -> list[tuple[str, int]]:
        """Return (label, micro-units) from what was carried over to what is carried on, the sum of all others.

        Zero amounts are left out, except in the first two rows.
        """
        row = self.statement
        work = sum(line.gross_micro for line in self.work if line.key.kind == WORK)
        parts = [
            ("Carried over from the statement before", row.opening_micro),
            ("Verified work", work),
            ("Checking others’ work", row.earned_micro - work),
            ("Corrections and adjustments", row.corrected_micro),
            ("Held while disputed, released, or returned", row.other_micro),
            ("Paid out", -row.paid_out_micro),
        ]
        return [
            *((name, micro) for index, (name, micro) in enumerate(parts) if micro or index < 2),
            ("Carried to the next statement", row.carried_micro),
        ]


def detail(statement: Statement) -> Detail:
    """Return a statement with its lines and payout."""
    lines = list(
        StatementLine.objects.filter(statement=statement).select_related("vehicle", "hardware_class").order_by("id")
    )
    work = _work([line for line in lines if line.kind in (WORK, CHECK)])
    return Detail(
        statement=statement,
        work=work,
        work_total=total(work),
        others=[line for line in lines if line.kind not in (WORK, CHECK)],
        payout=Payout.objects.filter(statement=statement).first(),
    )


def _work(lines: list[StatementLine]) -> list[EarningsSum[StatementLine]]:
    """Round costs by their running sum, so that the rows shown add up to the total shown."""
    energy, wear = RunningSum(), RunningSum()
    return [
        EarningsSum(
            line,
            line.attempts,
            line.compute_ms,
            line.energy_mwh,
            line.amount_micro,
            energy.add(line.energy_cost_nano),
            wear.add(line.wear_nano),
        )
        for line in lines
    ]
