"""The race of tests/compute/dispatch/test_consent_race.py, run for longer, with a customer who keeps units waiting."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from accounts.models import Owner
from compute.dispatch import dispatch
from compute.jobs import selectors
from compute.models import Attempt, WorkUnit
from tests import factories
from tests.compute.dispatch import test_consent_race as race
from tests.compute.helpers import execute
from tests.factories import Car

OWNERS, CARS_EACH = 4, 2
JOB_UNITS, LOW_UNITS = 400, 200
SHOW_EVERY_S = 5.0

# Leases whose latest consent record before them did not allow work, judged by the times in the records alone.
LEASED_AFTER = """
SELECT a.id FROM compute_attempt a
  LEFT JOIN LATERAL (SELECT r.state FROM accounts_consentrecord r
                      WHERE r.vehicle_id = a.vehicle_id AND r.purpose = 'run_jobs' AND r.at <= a.leased_at
                      ORDER BY r.seq DESC LIMIT 1) last ON true
 WHERE last.state IS NULL OR last.state NOT IN ('given', 'renewed')
"""

# Leases that were committed after the withdrawal of their consent, by the commit times that PostgreSQL keeps. Events
# and records are append-only, so their xmin is the transaction that wrote them.
COMMITTED_AFTER = """
SELECT a.id FROM compute_attempt a
  JOIN compute_attemptevent e ON e.attempt_id = a.id AND e.to_status = 'leased'
  JOIN accounts_consentrecord given ON given.id = a.consent_record_id
  JOIN accounts_consentrecord ended ON ended.vehicle_id = a.vehicle_id AND ended.purpose = 'run_jobs'
       AND ended.state = 'withdrawn' AND ended.seq > given.seq
 WHERE pg_xact_commit_timestamp(e.xmin) >= pg_xact_commit_timestamp(ended.xmin)
"""


@dataclass
class Outcome:
    """The counts of a race and the violations that were found."""

    threads: int
    seconds: float = 0.0
    turns: dict[str, int] = field(default_factory=dict)
    looks: int = 0  # snapshots of the database that were checked during the race
    acts: dict[str, int] = field(default_factory=dict)  # consent records by state
    attempts: dict[str, int] = field(default_factory=dict)  # by status
    withdrawn_attempts: int = 0  # cancelled by a withdrawal
    units_accepted: int = 0
    violations: dict[str, list[str]] = field(default_factory=dict)  # check -> what violates it

    @property
    def ok(self) -> bool:
        return not any(self.violations.values())


def run(seconds: float, threads: int) -> Outcome:
    """Race for `seconds`, then check the invariants. Return the counts and every violation."""
    owners = [factories.make_owner() for _ in range(OWNERS)]
    cars = [factories.make_car(owner) for owner in owners for _ in range(CARS_EACH)]
    outcome, running = Outcome(threads), race.Race()
    enter(running, cars, threads)
    started = time.monotonic()
    with looking(outcome, started):
        violations = running.run(seconds, what_for=lambda: len(running.turns) == len(running.threads))
    outcome.seconds, outcome.turns = time.monotonic() - started, running.turns
    outcome.violations = {name: [str(row) for row in violations.get(name, [])] for name in race.NEVER}
    outcome.violations["errors in the threads"] = [f"{type(error).__name__}: {error}" for error in running.errors]
    outcome.violations["threads that hang"] = [thread.name for thread in running.threads if thread.is_alive()]
    count(outcome)
    outcome.violations |= afterwards(owners, cars, outcome)
    return outcome


def enter(running: Any, cars: list[Car], threads: int) -> None:
    """Add the threads: a quarter dispatches, a quarter syncs, the rest decides about consent; and one customer."""
    workers = max(1, threads // 4)
    for number in range(max(1, threads - 2 * workers)):
        running.enter(f"decider {number}", race.decider(cars, number))
    for number in range(workers):
        running.enter(f"dispatcher {number}", race.dispatcher)
        running.enter(f"syncer {number}", race.syncer(cars[number::workers], number))
    running.enter("customer", customer())


def customer() -> Callable[[], None]:
    """Return a function that orders a job whenever few units are open, so that there is always work to race for."""
    organization = factories.make_organization()

    def turn() -> None:
        if WorkUnit.objects.filter(status="open").count() < LOW_UNITS:
            factories.make_job(organization, items=JOB_UNITS, unit_items=1)
        time.sleep(0.2)

    turn()
    return turn


@contextlib.contextmanager
def looking(outcome: Outcome, started: float) -> Iterator[None]:
    """Count the snapshots that the main thread reads, and print the progress every few seconds."""
    queries, shown = set(race.NEVER.values()), started

    def note(run_query: Any, sql: str, *arguments: Any) -> Any:
        nonlocal shown
        outcome.looks += sql in queries
        if time.monotonic() - shown > SHOW_EVERY_S:
            shown = time.monotonic()
            print(f"  {shown - started:4.0f} s  {outcome.looks:,} snapshots checked", flush=True)
        return run_query(sql, *arguments)

    with connection.execute_wrapper(note):
        yield


def count(outcome: Outcome) -> None:
    """Count consent records, attempts and units after the race."""
    outcome.acts = dict(execute("SELECT state, count(*) FROM accounts_consentrecord GROUP BY state ORDER BY state"))
    outcome.attempts = dict(execute("SELECT status, count(*) FROM compute_attempt GROUP BY status ORDER BY status"))
    outcome.withdrawn_attempts = Attempt.objects.filter(status_code="consent_withdrawn").count()
    outcome.units_accepted = WorkUnit.objects.filter(status="accepted").count()


def afterwards(owners: list[Owner], cars: list[Car], outcome: Outcome) -> dict[str, list[str]]:
    """Check what must hold at the end, then withdraw every consent and check again.

    The second time all cars offer to work, so a lease would show at once. Returns check -> what violates it.
    """
    violations: dict[str, list[str]] = {f"{name} (at the end)": rows(sql) for name, sql in race.NEVER.items()}
    violations["breaks in the chains of consent records"] = [str(owner) for owner in owners if not has_chain(owner)]
    race.withdraw_everything(owners)
    for car in cars:
        car.sync(capacity=6)
    violations["dispatched after all was withdrawn"] = ["attempts"] * dispatch.dispatch()
    violations["leased after all was withdrawn"] = rows("SELECT id FROM compute_attempt WHERE status = 'leased'")
    violations["leased after the withdrawal's commit, by the order of commits"] = rows(COMMITTED_AFTER)
    violations["leased after the withdrawal, by record.at"] = rows(LEASED_AFTER)
    count = selectors.consent_violations()
    violations["the auditor's query (compute.jobs.selectors.consent_violations)"] = [f"{count} attempts"] * bool(count)
    violations["nothing was raced for"] = ["no withdrawal cancelled a lease"] * (outcome.withdrawn_attempts == 0)
    return violations


def has_chain(owner: Owner) -> bool:
    """Return whether the owner's consent records form an unbroken chain."""
    try:
        race.check_chain(owner)
    except AssertionError:
        return False
    return True


def rows(sql: str) -> list[str]:
    """Return the first column of a query as text."""
    return [str(row[0]) for row in execute(sql)]
