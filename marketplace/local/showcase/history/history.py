"""Makes the whole month in one transaction, once in a database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction

from accounts.consents import consents
from accounts.models import Purpose, User, Vehicle
from accounts.vehicles import vehicles
from billing.models import JobOrder
from billing.rates import cards as rates
from compute.models import InferenceJob
from compute.nodes import nodes
from marketplace.local.showcase.cars import CARS
from marketplace.local.showcase.history import backdating, month, plan, work
from marketplace.local.showcase.history.computers import Computer, connect
from marketplace.local.showcase.people import People

KEEP_HISTORY = ("carla-1", "carla-2")  # cars whose owner lets us keep when they were available
DISPUTED_BACK = 3  # the job that the customer disputes, counted from the last one


@dataclass(frozen=True)
class MadeHistory:
    """How much was made."""

    days: int
    jobs: int


@transaction.atomic
def make_history(cast: People, *, today: date) -> MadeHistory | None:
    """Make the month before `today`. Return what was made, or None if it is there already."""
    if plan.is_made(cast.organization):
        return None
    first, end = plan.starts_on(today), plan.ends_at(today)
    opened_at = datetime.combine(first, time(9), UTC)
    people = [owner.user for owner in cast.owners.values()] + [cast.customer, *cast.operators]
    cars = [_vehicle(cast, index) for index in range(len(CARS))]
    computers = [connect(vehicle) for vehicle in cars]
    scene = {"users": [person.pk for person in people], "organization": cast.organization.pk, "at": opened_at}
    backdating.backdate(backdating.SCENE, vehicles=[vehicle.pk for vehicle in cars], **scene)
    rates.default_rates()  # prices are valid from the creation of their class, which has just been moved
    for offset, vehicle in enumerate(cars, start=10):
        _consent(vehicle, Purpose.RUN_JOBS, opened_at + timedelta(minutes=offset))
    customer = work.Customer(cast.organization, opened_at + timedelta(hours=1))
    jobs = _work(customer, computers, today)
    month.close_last()
    _retire(computers, first, opened_at, end)
    order = JobOrder.objects.get(job=jobs[-DISPUTED_BACK])
    owner = next(iter(cast.owners.values()))
    month.open_disputes(order=order, customer=cast.customer, owner=owner, operator=cast.operators[0])
    backdating.backdate(backdating.DISPUTES, at=end - timedelta(hours=4))
    backdating.backdate(backdating.REST, organization=cast.organization.pk, at=opened_at)
    return MadeHistory(plan.DAYS, len(jobs))


def _work(customer: work.Customer, computers: list[Computer], today: date) -> list[InferenceJob]:
    """Run all jobs that are over by the end of the month, one after the other."""
    job, end = work.run(plan.trial(today, len(computers)), customer, computers)
    jobs = [job]
    for planned in plan.shifts(today, len(computers)):
        shift = planned.after(end)
        if shift.ordered_at + shift.longest > plan.ends_at(today):
            break
        job, end = work.run(shift, customer, computers)
        jobs.append(job)
    return jobs


def _vehicle(cast: People, index: int) -> Vehicle:
    spec = CARS[index]
    owner = cast.owners[spec.owner]
    return vehicles.add_vehicle(
        owner=owner, label=spec.label, make_model=spec.make_model, vin=spec.vin, actor=owner.user
    )


def _consent(vehicle: Vehicle, purpose: Purpose, at: datetime) -> None:
    """Record consent, signed with the time at which it was given in the made-up month."""
    with _consent_clock(at):
        actor: User = vehicle.owner.user
        consents.decide(vehicle=vehicle, purpose=purpose, decision="given", actor=actor, method="portal")


@contextmanager
def _consent_clock(at: datetime) -> Iterator[None]:
    """Let consents be signed with this time: unlike other rows they cannot be moved afterwards."""
    kept = consents._database_clock
    consents._database_clock = lambda: at
    try:
        yield
    finally:
        consents._database_clock = kept


def _retire(computers: list[Computer], first: date, opened_at: datetime, end: datetime) -> None:
    """Retire the made-up computers: the real agents take their place. First, write what history the owners allow."""
    for spec, computer in zip(CARS, computers, strict=True):
        vehicle = computer.node.vehicle
        if spec.slug in KEEP_HISTORY:
            _consent(vehicle, Purpose.AVAILABILITY, opened_at + timedelta(hours=2))
            month.record_availability(computer.node.pk, vehicle.pk, first, end)
        nodes.retire(node=computer.node, why="replaced", actor=vehicle.owner.user)
