"""The manifest of a statement's package: the statement as it was closed, and the hashes of the other files."""

from collections.abc import Iterable, Mapping

from django.conf import settings

from billing.models import Payout, Statement, StatementEntry, StatementLine
from billing.usage.events import rfc3339
from billing.verifier import format as form
from compute.models import Node

RULE = (
    "billed time = min(signed, bound); billed energy = min(signed, bound of that time); "
    "owner = floor((time x price_h x share / 1000) / 3600000 + energy x price_kwh / 1000000) in micro-units, "
    "once for each record; a payout is all whole coins"
)


def manifest(
    statement: Statement, nodes: Iterable[str], gaps: list[form.Gap], files: Mapping[str, form.File]
) -> form.Manifest:
    """Return the manifest of a statement. `nodes` are the public ids of the computers that the records name."""
    return form.Manifest(
        format="driveway-statement-records",
        version=1,
        issuer=settings.CONTROLLER_NAME,
        owner=str(statement.owner.public_id),
        rule=RULE,
        statement=_figures(statement),
        lines=_lines(statement),
        entries=_entries(statement),
        payout=_payout(statement),
        nodes=_nodes(nodes),
        gaps=gaps,
        files=dict(files),
    )


def _figures(statement: Statement) -> form.StatementFigures:
    row = statement
    return form.StatementFigures(
        id=str(row.public_id),
        number=row.number,
        currency=row.currency,
        period_start_at=rfc3339(row.period_start_at),
        period_end_at=rfc3339(row.period_end_at),
        opening_micro=row.opening_micro,
        earned_micro=row.earned_micro,
        corrected_micro=row.corrected_micro,
        other_micro=row.other_micro,
        paid_out_micro=row.paid_out_micro,
        carried_micro=row.carried_micro,
        energy_cost_nano=row.energy_cost_nano,
        wear_nano=row.wear_nano,
        compute_ms=row.compute_ms,
        energy_mwh=row.energy_mwh,
        attempts=row.attempts,
    )


def _lines(statement: Statement) -> list[form.Line]:
    rows = StatementLine.objects.filter(statement=statement).select_related("vehicle", "hardware_class").order_by("id")
    return [
        form.Line(
            key=form.LineKey(
                kind=row.kind,
                vehicle=str(row.vehicle.public_id) if row.vehicle else "",
                hardware_class=row.hardware_class.slug if row.hardware_class else "",
                service_month=row.service_month.isoformat(),
            ),
            is_late=row.is_late,
            attempts=row.attempts,
            compute_ms=row.compute_ms,
            energy_mwh=row.energy_mwh,
            amount_micro=row.amount_micro,
            energy_cost_nano=row.energy_cost_nano,
            wear_nano=row.wear_nano,
            note=row.note,
        )
        for row in rows
    ]


def _entries(statement: Statement) -> list[form.Entry]:
    rows = StatementEntry.objects.filter(statement=statement).order_by("transfer_id")
    values = rows.values_list("transfer__public_id", "transfer__kind", "amount_micro", "transfer__posted_at")
    return [
        form.Entry(transfer=str(transfer), kind=kind, amount_micro=amount_micro, posted_at=rfc3339(posted_at))
        for transfer, kind, amount_micro, posted_at in values.iterator()
    ]


def _payout(statement: Statement) -> form.Payout | None:
    row = Payout.objects.filter(statement=statement).select_related("posting").first()
    if row is None:
        return None
    return form.Payout(id=str(row.public_id), amount_micro=row.amount_micro, transfer=str(row.posting.public_id))


def _nodes(nodes: Iterable[str]) -> list[form.Node]:
    rows = Node.objects.filter(public_id__in=list(nodes)).select_related("vehicle").order_by("public_id")
    return [
        form.Node(
            id=str(row.public_id),
            vehicle=str(row.vehicle.public_id),
            public_key=row.public_key,
            enrolled_at=rfc3339(row.created_at),
        )
        for row in rows
    ]
