"""When the customer ordered what in the made-up month. Always the same for the same days."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from accounts.models import Organization
from billing.models import TopUp

KEY = "made-up-history"  # first part of the idempotency keys of what is made up
# A meter record older than 35 days is refused (compute/sync/reports.py).
DAYS = 34
BETWEEN = timedelta(minutes=5)
UNIT_MINUTES = (130, 165)  # long ones: fewer rows, and the month is made in seconds
AT_ONCE = 4  # units that a car runs at a time
# The first job makes the new cars trusted: until then all that they do is done twice.
TRIAL_UNITS, TRIAL_MINUTES = 40, 5


@dataclass(frozen=True)
class Model:
    """A model of the customer, with made-up costs. Invoices and tables show its name, which says so."""

    name: str
    s_per_item: int


@dataclass(frozen=True)
class Shift:
    """One job: when it was ordered, which model it ran, how large it was, and which cars were at home."""

    ordered_at: datetime
    model: Model
    units: int
    unit_items: int
    cars: tuple[int, ...]
    seed: int

    @property
    def longest(self) -> timedelta:
        """The time that the job takes at most: three rounds of units, each up to a fifth longer than planned."""
        return timedelta(seconds=4 * self.unit_items * self.model.s_per_item)

    def after(self, end: datetime) -> "Shift":
        """Return the shift, ordered later if the job before it ended so late."""
        return replace(self, ordered_at=max(self.ordered_at, end + BETWEEN))


MODELS = (Model("made up: street scenes", 30), Model("made up: speech to text", 45))


def is_made(organization: Organization) -> bool:
    """Return whether the month is in the database."""
    return TopUp.objects.filter(organization=organization, idempotency_key=f"{KEY}:1").exists()


def starts_on(today: date) -> date:
    """Return the first day of the month before `today`."""
    return today - timedelta(days=DAYS)


def ends_at(today: date) -> datetime:
    """Return the end of the month: work that would not be over by then is left out."""
    return datetime.combine(today, time(0), UTC)


def trial(today: date, cars: int) -> Shift:
    """Return the first job."""
    at = datetime.combine(starts_on(today), time(11), UTC)
    return Shift(at, MODELS[0], TRIAL_UNITS, 60 * TRIAL_MINUTES // MODELS[0].s_per_item, tuple(range(cars)), 0)


def shifts(today: date, cars: int) -> Iterator[Shift]:
    """Yield the jobs of all nights before `today`, in order. Fewer at weekends, when cars are away more often."""
    for day in (starts_on(today) + timedelta(days=n) for n in range(DAYS)):
        rng = random.Random(f"night of {day.toordinal()}")  # noqa: S311 - a plan that must be the same again
        at = datetime.combine(day, time(20, rng.randrange(60)), UTC)
        is_weekend, at_home = day.weekday() >= 5, _at_home(rng, cars)
        # A full first week: of the last month at least some days are here, and they should earn a payout.
        is_full = day < starts_on(today) + timedelta(days=7) or rng.random() < (0.5 if is_weekend else 0.9)
        for model in MODELS if is_full else MODELS[:1]:
            yield Shift(
                ordered_at=at,
                model=model,
                units=AT_ONCE * len(at_home) - rng.randint(0, 6 if is_weekend else 2),
                unit_items=60 * rng.randint(*UNIT_MINUTES) // model.s_per_item,
                cars=at_home,
                seed=rng.randrange(2**32),
            )


def _at_home(rng: random.Random, cars: int) -> tuple[int, ...]:
    """Return the cars that are plugged in: mostly all, never fewer than all but one."""
    away = rng.randrange(4 * cars)
    return tuple(car for car in range(cars) if car != away)
