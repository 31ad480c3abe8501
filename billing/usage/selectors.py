"""What a customer's jobs used and cost, by day, month and model, from the days that the settlement rolls up.

A day is a day of UTC, the one on which the work was found right; what was found wrong later is taken off its day again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Generic, TypeVar

from django.db.models import Sum
from django.db.models.functions import TruncMonth

from accounts.models import Organization
from billing.models import SpendDay
from billing.periods import Span
from compute.models import ModelArtifact

Key = TypeVar("Key")
SUMS = ("units", "items", "compute_ms", "energy_mwh", "charged_micro")


@dataclass(frozen=True)
class Used(Generic[Key]):
    """Of one day, month or model, or of all of them (`key` None)."""

    key: Key
    units: int
    items: int
    compute_ms: int
    energy_mwh: int
    charged_micro: int

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, name) for name in SUMS)


def days(organization: Organization, since: date, until: date) -> list[Used[date]]:
    """Every day in [since, until), those without work too."""
    found = _found(_days(organization, since, until).values("day").order_by("day"), "day")
    every = (since + timedelta(days=index) for index in range((until - since).days))
    return [_used(day, found.get(day, {})) for day in every]


def months(organization: Organization, year: int) -> list[Used[date]]:
    """The twelve months of a year, by their first days."""
    span = Span.year(year)
    rows = _days(organization, span.since, span.until).annotate(month=TruncMonth("day"))
    found = _found(rows.values("month").order_by("month"), "month")
    return [_used(first, found.get(first, {})) for first in (date(year, month, 1) for month in range(1, 13))]


def models(organization: Organization, since: date, until: date) -> list[Used[ModelArtifact]]:
    """Those that worked on the days in [since, until), the dearest first."""
    found = _found(_days(organization, since, until).values("artifact").order_by("artifact"), "artifact")
    named = ModelArtifact.objects.in_bulk(list(found))
    rows = [_used(named[pk], row) for pk, row in found.items()]
    return sorted(rows, key=lambda row: (-row.charged_micro, row.key.name, row.key.pk))


def models_by_day(organization: Organization, since: date, until: date) -> list[Used[tuple[date, ModelArtifact]]]:
    """Each day's models, in the order of days and names; only what worked."""
    rows = list(
        _days(organization, since, until).select_related("artifact").order_by("day", "artifact__name", "artifact")
    )
    return [Used((row.day, row.artifact), *(getattr(row, name) for name in SUMS)) for row in rows]


def total(rows: Iterable[Used[Any]]) -> Used[None]:
    rows = list(rows)
    return Used(None, *(sum(getattr(row, name) for row in rows) for name in SUMS))


def first_day(organization: Organization) -> date | None:
    """Of the first work that was charged."""
    days = SpendDay.objects.filter(organization=organization, currency=organization.currency).order_by("day")
    return days.values_list("day", flat=True).first()


def _days(organization: Organization, since: date, until: date) -> Any:
    return SpendDay.objects.filter(
        organization=organization, currency=organization.currency, day__gte=since, day__lt=until
    )


def _found(rows: Any, by: str) -> dict[Any, dict[str, Any]]:
    return {row[by]: row for row in rows.annotate(**{f"sum_{name}": Sum(name) for name in SUMS})}


def _used(key: Key, row: dict[str, Any]) -> Used[Key]:
    return Used(key, *(int(row.get(f"sum_{name}") or 0) for name in SUMS))
