"""What an owner earned, by day, month and vehicle, from the days that the settlement rolls up; and what is owed now.

Energy and wear are kept in billionths, added up and rounded once. Rows are cut from the rounded running sum, so that they add
up to their total to the last millionth, each within a millionth of its own value. Days are days of UTC.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db.models import F, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from accounts.models import Owner, Vehicle
from billing.models import EarningsDay, LedgerAccount
from billing.periods import Span, grace
from core.money import NANO_PER_MICRO, round_half_even

Key = TypeVar("Key")
SUMS = ("attempts", "compute_ms", "energy_mwh", "gross_micro", "energy_cost_nano", "wear_nano")


@dataclass(frozen=True)
class Earned(Generic[Key]):
    """Of one day, month or vehicle, or of all of them (`key` None)."""

    key: Key
    attempts: int
    compute_ms: int
    energy_mwh: int
    gross_micro: int
    energy_micro: int
    wear_micro: int

    @property
    def net_micro(self) -> int:
        return self.gross_micro - self.energy_micro - self.wear_micro

    @property
    def is_empty(self) -> bool:
        return not (self.attempts or self.gross_micro or self.energy_micro or self.wear_micro)


NOTHING: Earned[None] = Earned(None, 0, 0, 0, 0, 0, 0)


class RunningSum:
    """Billionths in, millionths out: what was given out so far is always the rounded sum of what came in."""

    def __init__(self) -> None:
        self._nano = self._micro = 0

    def add(self, nano: int) -> int:
        self._nano += nano
        before, self._micro = self._micro, round_half_even(self._nano, NANO_PER_MICRO)
        return self._micro - before


@dataclass(frozen=True)
class Owed:
    """What is owed now, and where else the owner's money is."""

    payable_micro: int
    in_transit_micro: int
    reserve_micro: int


def days(owner: Owner, since: date, until: date, *, currency: str = "") -> list[Earned[date]]:
    """Every day in [since, until), those without work too."""
    found = {row["day"]: row for row in _sums(owner, currency, since, until, "day")}
    every = (since + timedelta(days=index) for index in range((until - since).days))
    return _rows((day, found.get(day, {})) for day in every)


def months(owner: Owner, year: int, *, currency: str = "") -> list[Earned[date]]:
    """The twelve months of a year, by their first days."""
    span = Span.year(year)
    rows = (
        _days(owner, currency, span.since, span.until)
        .annotate(month=TruncMonth("day"))
        .values("month")
        .order_by("month")
    )
    found = {row["month"]: row for row in rows.annotate(**_aggregates())}
    return _rows((first, found.get(first, {})) for first in (date(year, month, 1) for month in range(1, 13)))


def vehicles(
    owner: Owner, since: date | None = None, until: date | None = None, *, currency: str = ""
) -> list[Earned[Vehicle]]:
    """Return what each vehicle earned, in [since, until) or ever: those that worked, by name."""
    found = {row["vehicle"]: row for row in _sums(owner, currency, since, until, "vehicle")}
    named = Vehicle.objects.filter(pk__in=found).order_by("label", "pk")
    return _rows((vehicle, found[vehicle.pk]) for vehicle in named)


def of_vehicle(vehicle: Vehicle, owner: Owner, *, currency: str = "") -> Earned[None]:
    """Return what one vehicle has ever earned for this owner."""
    return _rows([(None, _days(owner, currency).filter(vehicle=vehicle).aggregate(**_aggregates()))])[0]


def lifetime(owner: Owner, *, currency: str = "") -> Earned[None]:
    return _rows([(None, _days(owner, currency).aggregate(**_aggregates()))])[0]


def total(rows: Iterable[Earned[Any]]) -> Earned[None]:
    """Return the sum of the rows."""
    rows = list(rows)
    names = ("attempts", "compute_ms", "energy_mwh", "gross_micro", "energy_micro", "wear_micro")
    return Earned(None, *(sum(getattr(row, name) for row in rows) for name in names))


def currencies(owner: Owner) -> list[str]:
    """The owner's own first, then others that something was earned in."""
    used = EarningsDay.objects.filter(owner=owner).values_list("currency", flat=True).distinct()
    return [owner.currency, *sorted(set(used) - {owner.currency})]


def first_day(owner: Owner) -> date | None:
    """Of the first work that was paid, in any currency."""
    return EarningsDay.objects.filter(owner=owner).order_by("day").values_list("day", flat=True).first()


def owed(owner: Owner, *, currency: str = "") -> Owed:
    accounts = LedgerAccount.objects.filter(
        owner=owner, currency=currency or owner.currency, kind__in=["payable", "in_transit", "reserve"]
    )
    held = dict(accounts.values_list("kind", "balance_micro"))
    return Owed(held.get("payable", 0), held.get("in_transit", 0), held.get("reserve", 0))


def next_statement_at(now: datetime | None = None) -> datetime:
    """When the next statement is made: the grace hours after a month's end."""
    now = now or timezone.now()
    today = now.astimezone(UTC).date()
    ends = (today.replace(day=1), Span.month(today.year, today.month).until)
    return next(at for end in ends if (at := datetime(end.year, end.month, end.day, tzinfo=UTC) + grace()) > now)


def _days(owner: Owner, currency: str, since: date | None = None, until: date | None = None) -> Any:
    rows = EarningsDay.objects.filter(owner=owner, currency=currency or owner.currency)
    return rows.filter(day__gte=since, day__lt=until) if since and until else rows


def _sums(owner: Owner, currency: str, since: date | None, until: date | None, by: str) -> Any:
    return _days(owner, currency, since, until).values(by).order_by(by).annotate(**_aggregates())


def _aggregates() -> dict[str, Any]:
    return {f"sum_{name}": Sum(F(name)) for name in SUMS}


def _rows(found: Iterable[tuple[Key, dict[str, Any]]]) -> list[Earned[Key]]:
    energy, wear = RunningSum(), RunningSum()
    rows = []
    for key, row in found:
        attempts, compute_ms, energy_mwh, gross_micro, energy_nano, wear_nano = (
            int(row.get(f"sum_{name}") or 0) for name in SUMS
        )
        spent = energy.add(energy_nano), wear.add(wear_nano)
        rows.append(Earned(key, attempts, compute_ms, energy_mwh, gross_micro, *spent))
    return rows
