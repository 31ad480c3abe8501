"""Words for what is held about people: each app declares its tables with them, in its `privacy/`.

The declaration is the only list there is: the owner's page shows it, the export writes it, the erasure executes it, and a
test fails for a column that is in none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

# Why something is held, when it is not one of the purposes that an owner consents to.
CONTRACT, LEGAL, SECURITY = "contract", "legal duty", "security"


class Group(Enum):
    """Where the owner's page shows a table."""

    YOU = "You"
    VEHICLES = "Your vehicles"
    CONSENTS = "Consents"
    RULES = "Rules"
    WORK = "Work"
    MONEY = "Money"
    TRAIL = "Trail"


class Erasure(Enum):
    """What becomes of a table's rows about somebody who is erased."""

    DELETE = "deleted"
    BLANK = "emptied"  # each column that has a `blank` is overwritten with it
    KEEP = "kept"


KEPT: Any = object()


@dataclass(frozen=True)
class Column:
    """One column, in plain words. `blank` is what an erasure writes; without one the value stays."""

    what: str
    blank: Any = KEPT
    purpose: str = ""  # "": the table's
    retention: str = ""
    why: str = ""  # why it is kept, if not for the table's reason
    secret: bool = False  # held, never shown: a password's hash, a second factor


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table about owners or their vehicles. `owner` is the lookup that leads to the Owner ("" for Owner itself)."""

    model: str  # "app.Model"
    title: str
    group: Group
    owner: str
    purpose: str
    retention: str
    erasure: Erasure
    columns: Mapping[str, Column]
    why: str = ""  # why it is kept
    # The lookup from the row to its vehicle, if there is one: the page shows the newest row of each.
    vehicle: str = ""

    def purpose_of(self, column: Column) -> str:
        return column.purpose or self.purpose

    def retention_of(self, column: Column) -> str:
        return column.retention or self.retention

    def erasure_of(self, column: Column) -> str:
        """A sentence: destroyed, or kept and why."""
        if self.erasure is Erasure.DELETE or (self.erasure is Erasure.BLANK and column.blank is not KEPT):
            return "Destroyed."
        return f"Kept: {column.why or self.why}"

    @property
    def blanks(self) -> dict[str, Any]:
        """What an erasure writes into the rows."""
        return {name: column.blank for name, column in self.columns.items() if column.blank is not KEPT}


# What becomes of a row when its time is over.
DELETE, KEEP, FILES = "delete", "keep", "delete file"
YEAR = 365
ACCOUNT = "lives and ends with its account: the erasure destroys what is personal in it"
CUSTOMER = "a customer's: kept while the contract lasts"
SITE = "the site's own: no person data"


@dataclass(frozen=True)
class Rule:
    """How long rows of a table are kept: each app lists its tables as RETENTION in its `privacy/`.

    A row is due `days` after `column`. Kept ones say until when they must be; None: as long as what they belong to. `where` is
    SQL that narrows the rows.
    """

    table: str
    column: str
    days: int | None
    action: str
    why: str
    where: str = ""
