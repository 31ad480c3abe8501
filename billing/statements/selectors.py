"""A statement as its page and its paper show it: lines that add up, what was corrected, and the sum."""

from dataclasses import dataclass

from billing.earnings.selectors import Earned, RunningSum, total
from billing.models import Payout, Statement, StatementLine

WORK, CHECK = StatementLine.Kind.WORK, StatementLine.Kind.CHECK


@dataclass(frozen=True)
class Detail:
    statement: Statement
    work: list[Earned[StatementLine]]  # verified work, and checking others' work
    work_total: Earned[None]
    others: list[StatementLine]  # corrections, adjustments, what was held or let go, payouts that came back
    payout: Payout | None

    def sums(self) -> list[tuple[str, int]]:
        """From what was carried over to what is carried on; the last is the result."""
        row = self.statement
        work = sum(line.gross_micro for line in self.work if line.key.kind == WORK)
        parts = [
            ("Carried over from the statement before", row.opening_micro),
            ("Verified work", work),
            ("Checking others’ work", row.earned_micro - work),
            ("Corrections and adjustments", row.corrected_micro),
            ("Held while disputed, let go, or returned", row.other_micro),
            ("Paid out", -row.paid_out_micro),
        ]
        return [
            *((name, micro) for index, (name, micro) in enumerate(parts) if micro or index < 2),
            ("Carried to the next statement", row.carried_micro),
        ]


def detail(statement: Statement) -> Detail:
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


def _work(lines: list[StatementLine]) -> list[Earned[StatementLine]]:
    energy, wear = RunningSum(), RunningSum()
    return [
        Earned(
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
