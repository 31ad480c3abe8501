"""What the tests of compute share: raw SQL and its refusals, cars that are present, work done by them."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection

from compute import protocol
from compute.dispatch import dispatch, verification
from compute.models import Attempt, Node, WorkUnit
from tests import factories
from tests.database import as_owner, execute, refused, unguarded
from tests.factories import Car
from tests.waiting import PATIENCE_S, until

__all__ = ["execute", "refused", "unguarded"]


def present(count: int = 1, *, capacity: int = 2, owner: Any = None, **fields: Any) -> list[Car]:
    """New cars that have just said that they are available; each with an owner of its own unless one is given."""
    cars = [factories.make_car(owner, **fields) for _ in range(count)]
    for car in cars:
        car.sync(capacity=capacity)
    return cars


def trust(cars: Sequence[Car], streak: int = 1_000_000) -> None:
    Node.objects.filter(pk__in=[car.node.pk for car in cars]).update(valid_streak=streak)


def leased(car: Car) -> list[Attempt]:
    return list(Attempt.objects.filter(node=car.node, status="leased").order_by("id"))


def work(car: Car, *, value: float = 1.0, **fields: Any) -> list[protocol.Ack]:
    """Report everything that the car holds, with results full of `value`."""
    reports = tuple(car.report(a, result=factories.result_of(a.unit, value=value), **fields) for a in leased(car))
    return list(car.sync(reports=reports).acks)


def one_unit(cars: Sequence[Car], **fields: Any) -> WorkUnit:
    """A job of one unit, dispatched to whoever is there."""
    job = factories.make_job(items=4, unit_items=4, **fields)
    dispatch.dispatch()
    return job.units.get()


def settle(unit: WorkUnit, answers: dict[int, float], cars: Sequence[Car], rounds: int = 6) -> WorkUnit:
    """Dispatch and verify until nothing moves; car i answers `answers[i]`, others 1.0."""
    for _ in range(rounds):
        for index, car in enumerate(cars):
            work(car, value=answers.get(index, 1.0))
        verification.verify()
        dispatch.dispatch()
    unit.refresh_from_db()
    return unit


def until_somebody_waits_for_us() -> None:
    """Return when another transaction waits for a lock that this connection's holds."""
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    until(lambda: execute(waiting)[0][0], what="somebody who waits for our locks")


def never_the_victim() -> None:
    """In this transaction: leave it to the others to find a deadlock, so that one of them is its victim."""
    with as_owner():
        execute("SET LOCAL deadlock_timeout = '1h'")


def in_threads(*works: Callable[[], Any]) -> list[Any]:
    """Run all at once, each on its own connection. Returns results; an exception is returned, not raised."""
    results: list[Any] = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(index: int) -> None:
        try:
            start.wait(PATIENCE_S)
            results[index] = works[index]()
        except Exception as error:  # handed to the test, which judges it
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10 * PATIENCE_S)
    return results
