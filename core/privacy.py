"""The types with which each app declares, in its `privacy/`, the personal data in its tables.

These declarations are the only list of personal data: the owner's page shows them, the export and the erasure follow
them, and a test fails for a column that is missing from all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

# Legal grounds for holding data that is not held for a purpose the owner consents to.
CONTRACT, LEGAL, SECURITY = "contract", "legal duty", "security"


class Group(Enum):
    """The section of the owner's page that shows a table."""

    YOU = "You"
    VEHICLES = "Your vehicles"
    CONSENTS = "Consents"
    RULES = "Rules"
    WORK = "Work"
    MONEY = "Money"
    TRAIL = "Trail"


class Erasure(Enum):
    """What an erasure does to a table's rows about the erased owner."""

    DELETE = "deleted"
    BLANK = "emptied"  # each column that has a `blank` is overwritten with it
    KEEP = "kept"


KEPT: Any = object()


@dataclass(frozen=True)
class Column:
    """One column, in plain words. An erasure writes `blank` into it; the default KEPT leaves the value."""

    what: str
    blank: Any = KEPT
    purpose: str = ""  # "": the purpose of the table
    retention: str = ""  # "": the retention of the table
    why: str = ""  # why an erasure keeps it; "": the reason of the table
    secret: bool = False  # never shown or exported: the hash of a password, a second factor


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table about owners or their vehicles. `owner` is the lookup from a row to its Owner ("" for Owner itself)."""

    model: str  # "app.Model"
    title: str
    group: Group
    owner: str
    purpose: str
    retention: str
    erasure: Erasure
    columns: Mapping[str, Column]
    why: str = ""  # why an erasure keeps its rows
    # The lookup from a row to its vehicle, if there is one: the page then shows each vehicle's newest row.
    vehicle: str = ""

    def purpose_of(self, column: Column) -> str:
        return column.purpose or self.purpose

    def retention_of(self, column: Column) -> str:
        return column.retention or self.retention

    def erasure_of(self, column: Column) -> str:
        """Return a sentence for the owner: that the column is destroyed, or that it is kept and why."""
        if self.erasure is Erasure.DELETE or (self.erasure is Erasure.BLANK and column.blank is not KEPT):
            return "Destroyed."
        return f"Kept: {column.why or self.why}"

    @property
    def blanks(self) -> dict[str, Any]:
        """Return the values that an erasure writes, by column name."""
        return {name: column.blank for name, column in self.columns.items() if column.blank is not KEPT}


# What happens to a row at the end of its retention.
DELETE, KEEP, FILES = "delete", "keep", "delete file"
YEAR = 365
ACCOUNT = "lives and ends with its account: the erasure destroys what is personal in it"
CUSTOMER = "a customer's: kept while the contract lasts"
SITE = "the site's own: no person data"


@dataclass(frozen=True)
class Rule:
    """How long rows of a table are kept. Each app lists its tables' rules as RETENTION in its `privacy/`.

    A row is due for `action` `days` after the time in `column`. With the action KEEP, `days` is the time for which a
    row must be kept at least; None means as long as the object it belongs to. `where` is SQL that narrows the rows.
    """

    table: str
    column: str
    days: int | None
    action: str
    why: str
    where: str = ""
