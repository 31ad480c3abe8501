"""Helpers for the tests of compute: raw SQL and its refusals, cars that are present, and work that they do."""

from collections.abc import Sequence
from typing import Any

from compute import protocol
from compute.dispatch import dispatch, verification
from compute.models import Attempt, Node, WorkUnit
from tests import factories
from tests.database import as_owner, execute, refused, unguarded
from tests.factories import Car
from tests.waiting import until

__all__ = ["execute", "refused", "unguarded"]


def present(count: int = 1, *, capacity: int = 2, owner: Any = None, **fields: Any) -> list[Car]:
    """Return new cars that are available now, each with its own owner unless one is given."""
    cars = [factories.make_car(owner, **fields) for _ in range(count)]
    for car in cars:
        car.sync(capacity=capacity)
    return cars


def trust(cars: Sequence[Car], streak: int = 1_000_000) -> None:
    Node.objects.filter(pk__in=[car.node.pk for car in cars]).update(valid_streak=streak)


def leased(car: Car) -> list[Attempt]:
    return list(Attempt.objects.filter(node=car.node, status="leased").order_by("id"))


def work(car: Car, *, value: float = 1.0, **fields: Any) -> list[protocol.Ack]:
    """Report everything that the car holds, with results that consist of `value`."""
    reports = tuple(car.report(a, result=factories.result_of(a.unit, value=value), **fields) for a in leased(car))
    return list(car.sync(reports=reports).acks)


def one_unit(cars: Sequence[Car], **fields: Any) -> WorkUnit:
    """Create a job of one unit and dispatch it to the available cars."""
    job = factories.make_job(items=4, unit_items=4, **fields)
    dispatch.dispatch()
    return job.units.get()


def settle(unit: WorkUnit, answers: dict[int, float], cars: Sequence[Car], rounds: int = 6) -> WorkUnit:
    """Dispatch and verify until nothing changes. Car i reports results of `answers[i]`, other cars 1.0."""
    for _ in range(rounds):
        for index, car in enumerate(cars):
            work(car, value=answers.get(index, 1.0))
        verification.verify()
        dispatch.dispatch()
    unit.refresh_from_db()
    return unit


def until_somebody_waits_for_us() -> None:
    """Return when another transaction waits for a lock that this connection holds."""
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    until(lambda: execute(waiting)[0][0], what="somebody who waits for our locks")


def never_the_victim() -> None:
    """Make sure that in a deadlock another transaction is the victim, because only the others check for deadlocks."""
    with as_owner():
        execute("SET LOCAL deadlock_timeout = '1h'")
