"""An owner's statement as a PDF: every line of work with its costs, the corrections, and the sums."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings

from billing.documents.amounts import exact_amount
from billing.documents.pdf import Column, Document
from billing.earnings.selectors import EarningsSum
from billing.models import Statement, StatementLine
from billing.periods import first_day, last_day
from billing.statements.selectors import Detail, detail
from core import locale

ROUNDING = (
    "Energy and wear are your own costs, shown for information: we do not deduct them. They are kept in billionths,"
    " added up and rounded once; each line is rounded so that the lines add up to the sum."
)
WORK_COLUMNS = (
    Column("Vehicle, class, month", 3.6),
    Column("Units", 0.9, right=True),
    Column("Compute time", 1.5, right=True),
    Column("Gross", 1.5, right=True),
    Column("Energy", 1.5, right=True),
    Column("Wear", 1.5, right=True),
    Column("Net", 1.5, right=True),
)
OTHER_COLUMNS = (Column("What", 2), Column("Note", 4), Column("Amount", 1.5, right=True))


def render(statement: Statement) -> bytes:
    """Return the PDF. The same statement always gives the same bytes."""
    with locale.override(locale.DEFAULT, "UTC"):
        return _document(detail(statement)).render()


def file_name(statement: Statement) -> str:
    """Return the name under which the PDF is downloaded."""
    return f"driveway-statement-{statement.number}.pdf"


def _document(shown: Detail) -> Document:
    row = shown.statement
    document = Document(title="Statement", number=f"No. {row.number}", made_at=row.created_at, note=str(row.public_id))
    document.addresses(("From", f"{settings.SELLER_NAME}\n{settings.SELLER_ADDRESS}".strip()), ("To", row.owner.name))
    document.facts(
        [
            ("Period (UTC)", f"{locale.day(first_day(row))} to {locale.day(last_day(row))}"),
            ("Made", locale.day(row.created_at.date())),
            ("Statement", str(row.public_id)),
            ("Currency", row.currency),
        ]
    )
    if shown.work:
        document.heading("Verified work")
        document.grid(WORK_COLUMNS, _work(shown))
        document.paragraph(ROUNDING, small=True)
    if shown.others:
        document.heading("Corrections and other entries")
        document.grid(OTHER_COLUMNS, _others(shown))
    document.totals([(name, exact_amount(micro, row.currency)) for name, micro in shown.sums()])
    document.paragraph(
        "The signed records of all this work can be downloaded with the statement on our pages. The program"
        " driveway-verify computes every figure again from them.",
        small=True,
    )
    return document


def _work(shown: Detail) -> Iterator[tuple[str, ...]]:
    currency = shown.statement.currency
    for earned in shown.work:
        yield _work_row(line_name(earned.key), earned, currency)
    yield _work_row("Sum", shown.work_total, currency)


def _work_row(name: str, earned: EarningsSum[Any], currency: str) -> tuple[str, ...]:
    amounts = (earned.gross_micro, earned.energy_micro, earned.wear_micro, earned.net_micro)
    counts = (locale.number(earned.attempts), locale.duration(earned.compute_ms))
    return (name, *counts, *(exact_amount(micro, currency) for micro in amounts))


def line_name(line: StatementLine) -> str:
    """Return what a line is about, one part a line: vehicle, hardware class, month, and the kind if it is not work."""
    parts = [line.vehicle.label if line.vehicle else "", line.hardware_class.slug if line.hardware_class else ""]
    parts.append(locale.month(line.service_month) + (" (late)" if line.is_late else ""))
    name = "\n".join(part for part in parts if part)
    return f"{name}\n{line.get_kind_display()}" if line.kind != line.Kind.WORK else name


def _others(shown: Detail) -> Iterator[tuple[str, ...]]:
    for line in shown.others:
        what = f"{line.get_kind_display()}\n{locale.month(line.service_month)}"
        yield what, line.note, exact_amount(line.amount_micro, shown.statement.currency)
