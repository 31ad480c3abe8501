"""What a customer's jobs used and cost, by day, month and model, read from SpendDay, which the settlement keeps.

Work counts on the day (UTC) on which it was verified. Work that is voided later is subtracted from that same day.
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
class UsageSum(Generic[Key]):
    """The usage of one day, month or model (`key`), or of all of them (`key` None)."""

    key: Key
    units: int
    items: int
    compute_ms: int
    energy_mwh: int
    charged_micro: int

    @property
    def is_empty(self) -> bool:
        """Return whether every figure is zero."""
        return not any(getattr(self, name) for name in SUMS)


def days(organization: Organization, since: date, until: date) -> list[UsageSum[date]]:
    """Return every day in [since, until), also those without work."""
    sums = _sums_by(_days(organization, since, until).values("day").order_by("day"), "day")
    every_day = (since + timedelta(days=index) for index in range((until - since).days))
    return [_from_sums(day, sums.get(day, {})) for day in every_day]


def months(organization: Organization, year: int) -> list[UsageSum[date]]:
    """Return the twelve months of a year; each key is the month's first day."""
    span = Span.year(year)
    rows = _days(organization, span.since, span.until).annotate(month=TruncMonth("day"))
    sums = _sums_by(rows.values("month").order_by("month"), "month")
    return [_from_sums(first, sums.get(first, {})) for first in (date(year, month, 1) for month in range(1, 13))]


def models(organization: Organization, since: date, until: date) -> list[UsageSum[ModelArtifact]]:
    """Return the models with work on the days in [since, until), the most expensive first."""
    sums = _sums_by(_days(organization, since, until).values("artifact").order_by("artifact"), "artifact")
    artifacts = ModelArtifact.objects.in_bulk(list(sums))
    rows = [_from_sums(artifacts[pk], row) for pk, row in sums.items()]
    return sorted(rows, key=lambda row: (-row.charged_micro, row.key.name, row.key.pk))


def models_by_day(organization: Organization, since: date, until: date) -> list[UsageSum[tuple[date, ModelArtifact]]]:
    """Return each day's models with work, ordered by day and name."""
    rows = list(
        _days(organization, since, until).select_related("artifact").order_by("day", "artifact__name", "artifact")
    )
    return [UsageSum((row.day, row.artifact), *(getattr(row, name) for name in SUMS)) for row in rows]


def total(rows: Iterable[UsageSum[Any]]) -> UsageSum[None]:
    """Return the sum of all rows."""
    rows = list(rows)
    return UsageSum(None, *(sum(getattr(row, name) for row in rows) for name in SUMS))


def first_day(organization: Organization) -> date | None:
    """Return the first day (UTC) with work that was charged, or None."""
    days = SpendDay.objects.filter(organization=organization, currency=organization.currency).order_by("day")
    return days.values_list("day", flat=True).first()


def _days(organization: Organization, since: date, until: date) -> Any:
    return SpendDay.objects.filter(
        organization=organization, currency=organization.currency, day__gte=since, day__lt=until
    )


def _sums_by(rows: Any, by: str) -> dict[Any, dict[str, Any]]:
    """Return the rows' sums (`sum_<name>`) by the value of one column."""
    return {row[by]: row for row in rows.annotate(**{f"sum_{name}": Sum(name) for name in SUMS})}


def _from_sums(key: Key, row: dict[str, Any]) -> UsageSum[Key]:
    return UsageSum(key, *(int(row.get(f"sum_{name}") or 0) for name in SUMS))
