"""The present values of everything held about an owner, for the privacy page.

The number of queries does not depend on the number of vehicles.
"""

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
LONG = 160  # characters; longer values are cut on the page


@dataclass(frozen=True)
class Field:
    """A column with its value in the newest row.

    `purpose`, `retention` and `erasure` are "" where they are the table's.
    """

    what: str
    value: str
    purpose: str
    retention: str
    erasure: str


@dataclass(frozen=True)
class HeldTable:
    """A table: the purpose, retention and erasure of most columns, the number of rows, the fields of the newest row."""

    title: str
    file: str
    purpose: str
    retention: str
    erasure: str
    rows: int
    fields: list[Field]


@dataclass
class Section:
    """A section of the page, which the reader can fold."""

    title: str
    id: str
    note: str = ""
    tables: list[HeldTable] = field(default_factory=list)

    @property
    def fields(self) -> int:
        return sum(len(table.fields) for table in self.tables)


def sections(owner: Owner) -> list[Section]:
    """Return the sections in the order of the page: you, each vehicle, consents, rules, work, money, the trail."""
    vehicles = list(Vehicle.objects.filter(owner=owner).order_by("retired_at", "id"))
    by_vehicle: dict[int, list[HeldTable]] = defaultdict(list)
    by_group: dict[Group, Section] = {}
    for table in inventory.TABLES:
        if table.vehicle:
            newest = _newest_by_vehicle(table, owner)
            for vehicle in vehicles:
                by_vehicle[vehicle.pk].append(newest.get(vehicle.pk) or _shown(table, None, 0))
        else:
            section = by_group.setdefault(table.group, Section(table.group.value, table.group.name.lower()))
            section.tables.append(_newest(table, owner))
    of_vehicles = [_vehicle_section(vehicle, by_vehicle[vehicle.pk]) for vehicle in vehicles]
    ordered = [by_group.pop(Group.YOU), *of_vehicles, *(by_group[group] for group in Group if group in by_group)]
    return [section for section in ordered if section.tables]


def _vehicle_section(vehicle: Vehicle, tables: list[HeldTable]) -> Section:
    note = f"left your account on {date_format(vehicle.retired_at, 'j M Y')}" if vehicle.retired_at else ""
    return Section(vehicle.label or "A vehicle", f"vehicle-{vehicle.public_id}", note, tables)


def consents_now(owner: Owner) -> list[dict[str, Any]]:
    """Return the present state of each consent, the owner's own and each vehicle's."""
    counting = notices.versions_in_effect()
    consents = ConsentCurrent.objects.filter(owner=owner).select_related("vehicle").order_by("vehicle_id", "id")
    return [
        {
            "about": row.vehicle.label if row.vehicle else "You",
            "purpose": PURPOSES.get(row.purpose, row.purpose),
            "state": state,
            "expires_at": row.expires_at if state in IN_FORCE else None,
        }
        for row in consents
        for state in [state_of(counting[row.purpose], row)]
    ]


def _newest(table: Table, owner: Owner) -> HeldTable:
    # Ordering by `pk + 0` keeps PostgreSQL from reading the primary key's index backwards, which would pass over nearly
    # the whole table for an owner whose rows are old.
    rows = inventory.rows(table, owner).annotate(rows_in_all=Window(Count("pk"))).order_by((F("pk") + 0).desc())
    row = rows.values("rows_in_all", *table.columns).first()
    return _shown(table, row, row["rows_in_all"] if row else 0)


def _newest_by_vehicle(table: Table, owner: Owner) -> dict[int, HeldTable]:
    """Return the newest row of each vehicle, by vehicle id."""
    path = "pk" if table.vehicle == "self" else f"{table.vehicle}_id"
    count = Window(Count("pk"), partition_by=F(path))
    rows = inventory.rows(table, owner).annotate(of_vehicle=F(path), rows_in_all=count)
    newest = (
        rows.order_by("of_vehicle", "-pk").distinct("of_vehicle").values("of_vehicle", "rows_in_all", *table.columns)
    )
    return {row["of_vehicle"]: _shown(table, row, row["rows_in_all"]) for row in newest}


def _shown(table: Table, row: dict[str, Any] | None, count: int) -> HeldTable:
    defaults = _defaults(table)
    fields = [_field(table, column, row[name] if row else None, defaults) for name, column in table.columns.items()]
    return HeldTable(table.title, inventory.file_name(table), *defaults, count, fields if row else [])


def _defaults(table: Table) -> tuple[str, str, str]:
    """Return the purpose, retention and most frequent erasure of a table's columns, which the page shows once."""
    erasures = [table.erasure_of(column) for column in table.columns.values()]
    return PURPOSES[table.purpose], table.retention, max(erasures, key=erasures.count)


def _field(table: Table, column: Column, value: Any, defaults: Iterable[str]) -> Field:
    own = (PURPOSES[table.purpose_of(column)], table.retention_of(column), table.erasure_of(column))
    differing = ["" if text == default else text for text, default in zip(own, defaults, strict=True)]
    return Field(column.what, "held, never shown" if column.secret and value else readable(value), *differing)


def readable(value: Any) -> str:
    """Return a value as text for people: long texts are cut, bytes are shown by size and digest."""
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
    return text if len(text) <= LONG else f"{text[:LONG]}… (complete in the export)"
