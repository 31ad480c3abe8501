"""The present values of everything held about an owner, for the page that shows them. As many queries for ten cars as for one."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.db.models import Count, F, Window
from django.utils.formats import date_format

from accounts.consents import notices
from accounts.consents.selectors import state_of
from accounts.models import IN_FORCE, ConsentCurrent, Owner, Purpose, Vehicle
from core.privacy import CONTRACT, LEGAL, SECURITY, Column, Group, Table
from marketplace.privacy import inventory

PURPOSES = {
    **dict(Purpose.choices),
    CONTRACT: "To keep our agreement with you",
    LEGAL: "Because the law says so",
    SECURITY: "To keep your account safe",
}
LONG = 160


@dataclass(frozen=True)
class Field:
    """One column: what it is, its value in the newest row, and where it differs from its table in why, how long and its end."""

    what: str
    value: str
    purpose: str
    retention: str
    erasure: str


@dataclass(frozen=True)
class Shown:
    """A table: what holds for most of it, how many rows there are, and the fields of the newest one."""

    title: str
    file: str
    purpose: str
    retention: str
    erasure: str
    rows: int
    fields: list[Field]


@dataclass
class Section:
    """What one fold of the page shows."""

    title: str
    id: str
    note: str = ""
    tables: list[Shown] = field(default_factory=list)

    @property
    def fields(self) -> int:
        return sum(len(table.fields) for table in self.tables)


def sections(owner: Owner) -> list[Section]:
    """You, each vehicle, consents, rules, work, money, the trail."""
    vehicles = list(Vehicle.objects.filter(owner=owner).order_by("retired_at", "id"))
    about_cars: dict[int, list[Shown]] = defaultdict(list)
    found: dict[Group, Section] = {}
    for table in inventory.TABLES:
        if table.vehicle:
            newest = _by_vehicle(table, owner)
            for vehicle in vehicles:
                about_cars[vehicle.pk].append(newest.get(vehicle.pk) or _shown(table, None, 0))
        else:
            section = found.setdefault(table.group, Section(table.group.value, table.group.name.lower()))
            section.tables.append(_newest(table, owner))
    cars = [_car(vehicle, about_cars[vehicle.pk]) for vehicle in vehicles]
    ordered = [found.pop(Group.YOU), *cars, *(found[group] for group in Group if group in found)]
    return [section for section in ordered if section.tables]


def _car(vehicle: Vehicle, tables: list[Shown]) -> Section:
    note = f"left your account on {date_format(vehicle.retired_at, 'j M Y')}" if vehicle.retired_at else ""
    return Section(vehicle.label or "A vehicle", f"vehicle-{vehicle.public_id}", note, tables)


def consents_now(owner: Owner) -> list[dict[str, Any]]:
    """What holds for each purpose, the owner's own and each car's."""
    counting = notices.counting_versions()
    held = ConsentCurrent.objects.filter(owner=owner).select_related("vehicle").order_by("vehicle_id", "id")
    return [
        {
            "about": row.vehicle.label if row.vehicle else "You",
            "purpose": PURPOSES.get(row.purpose, row.purpose),
            "state": state,
            "expires_at": row.expires_at if state in IN_FORCE else None,
        }
        for row in held
        for state in [state_of(counting[row.purpose], row)]
    ]


def _newest(table: Table, owner: Owner) -> Shown:
    # The sum keeps the planner from walking the whole table backwards for an owner whose rows are old.
    rows = inventory.rows(table, owner).annotate(rows_in_all=Window(Count("pk"))).order_by((F("pk") + 0).desc())
    row = rows.values("rows_in_all", *table.columns).first()
    return _shown(table, row, row["rows_in_all"] if row else 0)


def _by_vehicle(table: Table, owner: Owner) -> dict[int, Shown]:
    """The newest row of each vehicle."""
    path = "pk" if table.vehicle == "self" else f"{table.vehicle}_id"
    count = Window(Count("pk"), partition_by=F(path))
    rows = inventory.rows(table, owner).annotate(of_vehicle=F(path), rows_in_all=count)
    newest = (
        rows.order_by("of_vehicle", "-pk").distinct("of_vehicle").values("of_vehicle", "rows_in_all", *table.columns)
    )
    return {row["of_vehicle"]: _shown(table, row, row["rows_in_all"]) for row in newest}


def _shown(table: Table, row: dict[str, Any] | None, count: int) -> Shown:
    usual = _usual(table)
    fields = [_field(table, column, row[name] if row else None, usual) for name, column in table.columns.items()]
    return Shown(table.title, inventory.file_name(table), *usual, count, fields if row else [])


def _usual(table: Table) -> tuple[str, str, str]:
    """Why, how long and what end most columns have: said once."""
    ends = [table.erasure_of(column) for column in table.columns.values()]
    return PURPOSES[table.purpose], table.retention, max(ends, key=ends.count)


def _field(table: Table, column: Column, value: Any, usual: Iterable[str]) -> Field:
    own = (PURPOSES[table.purpose_of(column)], table.retention_of(column), table.erasure_of(column))
    differing = ["" if mine == common else mine for mine, common in zip(own, usual, strict=True)]
    return Field(column.what, "held, never shown" if column.secret and value else readable(value), *differing)


def readable(value: Any) -> str:
    """A value as a person reads it; long ones are cut, bytes are named by their digest."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return date_format(value, "j M Y, H:i:s") + " UTC"
    if isinstance(value, date):
        return date_format(value, "j M Y")
    if isinstance(value, (bytes, memoryview)):
        data = bytes(value)
        return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()[:16]}…"
    if isinstance(value, (list, dict)):
        return _cut(json.dumps(value, ensure_ascii=False)) if value else "none"
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]}… (whole in the export)"
