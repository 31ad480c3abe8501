"""Check the sums: from records to transfers and lines, from transfers to the statement, and the payout."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from billing.verifier.errors import Finding
from billing.verifier.format import Entry, Line, LineKey, Manifest, Record, Void
from billing.verifier.records import AddFinding

MICRO = 1_000_000
# Digits after the decimal point, for currencies that do not have two; a test compares it with billing.stripe.amounts.
DIGITS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}
FROM_RECORDS = ("share", "verification")  # kinds of transfers that pay for records
# Kind of transfer -> the statement's figure that it is part of.
FIGURES = {
    "share": "earned",
    "verification": "earned",
    "correction": "corrected",
    "adjustment": "corrected",
    "reversal": "corrected",
    "reserve": "other",
    "return": "other",
    "transfer": "other",
    "payout": "paid_out",
}
WORK_LINES = ("work", "check")


@dataclass
class Quantities:
    """Sums of records."""

    attempts: int = 0
    compute_ms: int = 0
    energy_mwh: int = 0
    amount_micro: int = 0
    energy_cost_nano: int = 0
    wear_nano: int = 0

    def add(self, record: Record, sign: int = 1) -> None:
        """Add a record; subtract it with `sign` -1."""
        data, costs = record.event.data, record.costs
        self.attempts += sign
        self.compute_ms += sign * data.compute_ms
        self.energy_mwh += sign * data.energy_mwh
        self.amount_micro += sign * data.amounts.owner_micro
        self.energy_cost_nano += sign * costs.energy_cost_nano
        self.wear_nano += sign * costs.wear_nano


@dataclass
class Sums:
    """The sums of a package's records by transfer, by line and in total, and what each void's transfer takes back."""

    transfers: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lines: dict[LineKey, Quantities] = field(default_factory=lambda: defaultdict(Quantities))
    total: Quantities = field(default_factory=Quantities)
    voided: dict[str, int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Add a paid record."""
        self.transfers[record.transfer] += record.event.data.amounts.owner_micro
        self.lines[record.line].add(record)
        self.total.add(record)

    def add_void(self, void: Void, add_finding: AddFinding) -> None:
        """Add a void, whose transfer takes exactly one record back. A finding goes to `add_finding`."""
        if void.transfer in self.voided:
            add_finding(Finding("void_twice", f"transfer {void.transfer}", "This transfer takes back two records."))
        self.voided[void.transfer] = void.original.event.data.amounts.owner_micro


def check(manifest: Manifest, sums: Sums, add_finding: AddFinding) -> None:
    """Compare the sums of records, entries and lines with the statement's figures and its payout.

    Findings go to `add_finding`.
    """
    _check_entries(manifest.entries, sums, add_finding)
    _check_lines(manifest.lines, sums, add_finding)
    _check_figures(manifest, sums, add_finding)
    _check_quantities(manifest, add_finding)
    _check_payout(manifest, add_finding)


def _check_entries(entries: Iterable[Entry], sums: Sums, add_finding: AddFinding) -> None:
    seen: set[str] = set()
    for entry in entries:
        where = f"transfer {entry.transfer}"
        if entry.transfer in seen:
            add_finding(Finding("transfer_twice", where, "Two entries of the statement have this transfer."))
        seen.add(entry.transfer)
        if entry.kind not in FIGURES:
            add_finding(
                Finding("kind_unknown", where, f"{entry.kind!r} is not a kind of transfer on an owner's account.")
            )
        if entry.kind in FROM_RECORDS or entry.transfer in sums.transfers:
            _compare(add_finding, where, "transfer", entry.amount_micro, sums.transfers.get(entry.transfer, 0))
        if entry.transfer in sums.voided:
            _compare(add_finding, where, "void", entry.amount_micro, -sums.voided[entry.transfer])
    for transfer in sorted((sums.transfers.keys() | sums.voided.keys()) - seen):
        add_finding(
            Finding("transfer_unknown", f"transfer {transfer}", "Records name this transfer, the statement does not.")
        )


def _check_lines(lines: Iterable[Line], sums: Sums, add_finding: AddFinding) -> None:
    stated_lines: dict[LineKey, Quantities] = {}
    for line in lines:
        if line.key.kind not in WORK_LINES:
            continue
        if line.key in stated_lines:
            add_finding(Finding("line_twice", _name(line.key), "The statement has two of these lines."))
        stated_lines[line.key] = Quantities(
            line.attempts, line.compute_ms, line.energy_mwh, line.amount_micro, line.energy_cost_nano, line.wear_nano
        )
    for key in sorted(stated_lines.keys() | sums.lines.keys(), key=_name):
        stated, computed = stated_lines.get(key, Quantities()), sums.lines.get(key, Quantities())
        if stated != computed:
            add_finding(Finding("line", _name(key), f"The line says {stated}, the sum of its records is {computed}."))


def _check_figures(manifest: Manifest, sums: Sums, add_finding: AddFinding) -> None:
    statement = manifest.statement
    figures: dict[str, int] = defaultdict(int)
    for entry in manifest.entries:
        figures[FIGURES.get(entry.kind, "other")] += entry.amount_micro
    where = f"statement {statement.number}"
    for name, stated in (
        ("earned", statement.earned_micro),
        ("corrected", statement.corrected_micro),
        ("other", statement.other_micro),
        ("paid_out", -statement.paid_out_micro),
    ):
        _compare(add_finding, where, name, stated, figures[name])
    carried = statement.opening_micro + sum(figures.values())
    _compare(add_finding, where, "carried", statement.carried_micro, carried)
    listed = sum(line.amount_micro for line in manifest.lines)
    _compare(add_finding, where, "lines", listed, sum(figures.values()) - figures["paid_out"])


def _check_quantities(manifest: Manifest, add_finding: AddFinding) -> None:
    """Compare the statement's quantities and costs with the sums of its lines of work."""
    statement, work = manifest.statement, [line for line in manifest.lines if line.key.kind in WORK_LINES]
    for name in ("attempts", "compute_ms", "energy_mwh", "energy_cost_nano", "wear_nano"):
        stated, computed = getattr(statement, name), sum(getattr(line, name) for line in work)
        if stated != computed:
            where = f"statement {statement.number}"
            add_finding(Finding("quantities", where, f"It says {name} {stated}, the sum of its lines is {computed}."))


def _check_payout(manifest: Manifest, add_finding: AddFinding) -> None:
    statement, payout = manifest.statement, manifest.payout
    where = f"statement {statement.number}"
    _compare(add_finding, where, "payout", payout.amount_micro if payout else 0, statement.paid_out_micro)
    if payout is None:
        return
    if payout.transfer not in {entry.transfer for entry in manifest.entries if entry.kind == "payout"}:
        add_finding(Finding("payout", where, "The payout's transfer is not an entry of the statement."))
    coin = MICRO // 10 ** DIGITS.get(statement.currency, 2)
    if payout.amount_micro % coin or not 0 <= statement.carried_micro < coin:
        amounts = f"{payout.amount_micro} micro paid, {statement.carried_micro} carried on"
        add_finding(Finding("payout_coins", where, f"A payout must be all whole coins that are owed: {amounts}."))


def _compare(add_finding: AddFinding, where: str, code: str, stated: int, computed: int) -> None:
    if stated != computed:
        add_finding(Finding(code, where, f"{code}: the statement says {stated}, the recomputed value is {computed}."))


def _name(key: LineKey) -> str:
    return f"line {key.kind} of {key.vehicle or 'no car'}, {key.hardware_class or 'no class'}, {key.service_month}"
