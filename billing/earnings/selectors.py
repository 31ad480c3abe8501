"""What an owner earned by day, month and vehicle, and what the owner is owed now.

Earnings are read from EarningsDay, which the settlement keeps up to date. Days are days of UTC. Energy and wear are
stored in nano-units, added up and rounded once. A row shows by how much the rounded running sum grew, so the rows add
up to their total exactly, and each is within a micro-unit of its own value.
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
class EarningsSum(Generic[Key]):
    """What one day, month or vehicle earned, or (`key` None) a sum of them."""

    key: Key
    attempts: int
    compute_ms: int
    energy_mwh: int
    gross_micro: int
    energy_micro: int
    wear_micro: int

    @property
    def net_micro(self) -> int:
        """What is left after energy and wear, which are the owner's own costs."""
        return self.gross_micro - self.energy_micro - self.wear_micro

    @property
    def is_empty(self) -> bool:
        return not (self.attempts or self.gross_micro or self.energy_micro or self.wear_micro)


NO_EARNINGS: EarningsSum[None] = EarningsSum(None, 0, 0, 0, 0, 0, 0)


class RunningSum:
    """A sum of nano-units, given out in micro-units: the amounts given out always add up to the rounded sum so far."""

    def __init__(self) -> None:
        self._nano = self._micro = 0

    def add(self, nano: int) -> int:
        """Add nano-units, and return by how many micro-units the rounded sum grew."""
        self._nano += nano
        before, self._micro = self._micro, round_half_even(self._nano, NANO_PER_MICRO)
        return self._micro - before


@dataclass(frozen=True)
class OwedAmounts:
    """What an owner is owed now, by ledger account."""

    payable_micro: int  # owed, on the next statement; may be negative
    in_transit_micro: int  # in payouts on their way
    reserve_micro: int  # held while a job is disputed


def days(owner: Owner, since: date, until: date, *, currency: str = "") -> list[EarningsSum[date]]:
    """Return what every day in [since, until) earned, including days without work."""
    found = {row["day"]: row for row in _sums(owner, currency, since, until, "day")}
    all_days = (since + timedelta(days=index) for index in range((until - since).days))
    return _rows((day, found.get(day, {})) for day in all_days)


def months(owner: Owner, year: int, *, currency: str = "") -> list[EarningsSum[date]]:
    """Return what each of the twelve months of a year earned; the keys are their first days."""
    span = Span.year(year)
    rows = (
        _days(owner, currency, span.since, span.until)
        .annotate(month=TruncMonth("day"))
        .values("month")
        .order_by("month")
    )
    found = {row["month"]: row for row in rows.annotate(**_aggregates())}
    first_days = (date(year, month, 1) for month in range(1, 13))
    return _rows((day, found.get(day, {})) for day in first_days)


def vehicles(
    owner: Owner, since: date | None = None, until: date | None = None, *, currency: str = ""
) -> list[EarningsSum[Vehicle]]:
    """Return what each vehicle that worked earned, in [since, until) or in its whole life, sorted by name."""
    found = {row["vehicle"]: row for row in _sums(owner, currency, since, until, "vehicle")}
    named = Vehicle.objects.filter(pk__in=found).order_by("label", "pk")
    return _rows((vehicle, found[vehicle.pk]) for vehicle in named)


def vehicle_total(vehicle: Vehicle, owner: Owner, *, currency: str = "") -> EarningsSum[None]:
    """Return what one vehicle has earned for this owner in all."""
    return _rows([(None, _days(owner, currency).filter(vehicle=vehicle).aggregate(**_aggregates()))])[0]


def lifetime_total(owner: Owner, *, currency: str = "") -> EarningsSum[None]:
    """Return what the owner has earned in all."""
    return _rows([(None, _days(owner, currency).aggregate(**_aggregates()))])[0]


def total(rows: Iterable[EarningsSum[Any]]) -> EarningsSum[None]:
    """Return the sum of the rows."""
    rows = list(rows)
    names = ("attempts", "compute_ms", "energy_mwh", "gross_micro", "energy_micro", "wear_micro")
    return EarningsSum(None, *(sum(getattr(row, name) for row in rows) for name in names))


def currencies(owner: Owner) -> list[str]:
    """Return the currencies in which something was earned, the owner's own always and first."""
    used = EarningsDay.objects.filter(owner=owner).values_list("currency", flat=True).distinct()
    return [owner.currency, *sorted(set(used) - {owner.currency})]


def first_day(owner: Owner) -> date | None:
    """Return the first day on which work was paid, in any currency, or None."""
    return EarningsDay.objects.filter(owner=owner).order_by("day").values_list("day", flat=True).first()


def owed_amounts(owner: Owner, *, currency: str = "") -> OwedAmounts:
    """Return what the owner is owed now, from the ledger; by default in the owner's own currency."""
    accounts = LedgerAccount.objects.filter(
        owner=owner, currency=currency or owner.currency, kind__in=["payable", "in_transit", "reserve"]
    )
    balances = dict(accounts.values_list("kind", "balance_micro"))
    return OwedAmounts(balances.get("payable", 0), balances.get("in_transit", 0), balances.get("reserve", 0))


def next_statement_at(now: datetime | None = None) -> datetime:
    """Return when the next statement is due: the grace period after the end of a month (UTC)."""
    now = now or timezone.now()
    today = now.astimezone(UTC).date()
    # Early in a month the statement of the last one may still be to come.
    ends = (today.replace(day=1), Span.month(today.year, today.month).until)
    return next(at for end in ends if (at := datetime(end.year, end.month, end.day, tzinfo=UTC) + grace()) > now)


def _days(owner: Owner, currency: str, since: date | None = None, until: date | None = None) -> Any:
    rows = EarningsDay.objects.filter(owner=owner, currency=currency or owner.currency)
    return rows.filter(day__gte=since, day__lt=until) if since and until else rows


def _sums(owner: Owner, currency: str, since: date | None, until: date | None, field: str) -> Any:
    return _days(owner, currency, since, until).values(field).order_by(field).annotate(**_aggregates())


def _aggregates() -> dict[str, Any]:
    return {f"sum_{name}": Sum(F(name)) for name in SUMS}


def _rows(found: Iterable[tuple[Key, dict[str, Any]]]) -> list[EarningsSum[Key]]:
    energy, wear = RunningSum(), RunningSum()
    rows = []
    for key, row in found:
        attempts, compute_ms, energy_mwh, gross_micro, energy_nano, wear_nano = (
            int(row.get(f"sum_{name}") or 0) for name in SUMS
        )
        costs = energy.add(energy_nano), wear.add(wear_nano)
        rows.append(EarningsSum(key, attempts, compute_ms, energy_mwh, gross_micro, *costs))
    return rows
