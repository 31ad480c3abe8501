"""Withdrawals during dispatch, on real PostgreSQL with real threads.

Four threads give and withdraw consent at random, two dispatch and two sync, while the main thread checks consistent
snapshots. A second race also publishes new texts. A race lasts a second, three in `make test-long` and a minute with
`DRIVEWAY_RACE_S=60`; it also lasts until the situation that it tests has occurred.
"""

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.consents import consents, notices
from accounts.models import ConsentRecord, Owner
from compute import protocol
from compute.dispatch import dispatch, verification
from compute.jobs import selectors
from compute.link.process import _handle_syncs
from compute.models import Attempt
from core.db import atomic_retrying
from core.errors import Conflict
from tests import factories
from tests.compute.helpers import execute, unguarded, until_somebody_waits_for_us
from tests.factories import Car
from tests.long import IS_LONG
from tests.threads import in_threads
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unhurried")]

ACK_CODES = {"", "race", "stale_fence", "consent_withdrawn", "consent_expired"}
RACE_S = float(os.environ.get("DRIVEWAY_RACE_S", "3" if IS_LONG else "1"))

# Each of these queries must return no row in any snapshot.
NEVER = {
    "leased without consent in force": """
        SELECT a.id FROM compute_attempt a
          LEFT JOIN accounts_consentcurrent c ON c.vehicle_id = a.vehicle_id AND c.purpose = 'run_jobs'
         WHERE a.status = 'leased' AND (c.state IS NULL OR c.state NOT IN ('given', 'renewed'))""",
    "leased under a record that is no longer the latest": """
        SELECT a.id FROM compute_attempt a JOIN accounts_consentcurrent c
            ON c.vehicle_id = a.vehicle_id AND c.purpose = 'run_jobs'
         WHERE a.status = 'leased' AND a.consent_record_id <> c.record_id
           AND EXISTS (SELECT FROM accounts_consentrecord r JOIN accounts_consentrecord later
                           ON later.vehicle_id = r.vehicle_id AND later.purpose = r.purpose AND later.seq > r.seq
                        WHERE r.id = a.consent_record_id AND later.state <> 'renewed')""",
    "leased after the act that ended its consent": """
        SELECT a.id FROM compute_attempt a JOIN accounts_consentrecord r ON r.id = a.consent_record_id
         WHERE EXISTS (SELECT FROM accounts_consentrecord later
                        WHERE later.vehicle_id = r.vehicle_id AND later.purpose = r.purpose AND later.seq > r.seq
                          AND later.state NOT IN ('given', 'renewed') AND later.at <= a.leased_at)""",
    "leased on an old text after a new one took effect": """
        SELECT a.id FROM compute_attempt a JOIN accounts_consentrecord r ON r.id = a.consent_record_id
          JOIN accounts_consentnotice mine ON mine.id = r.notice_id
         WHERE EXISTS (SELECT FROM accounts_consentnotice n WHERE n.purpose = r.purpose AND n.version > mine.version
                          AND n.effective_at <= a.leased_at)""",
    "leased under a record that does not allow it": """
        SELECT a.id FROM compute_attempt a JOIN accounts_consentrecord r ON r.id = a.consent_record_id
         WHERE r.state NOT IN ('given', 'renewed') OR r.vehicle_id <> a.vehicle_id OR r.purpose <> 'run_jobs'""",
    "two live copies with one owner": """
        SELECT unit_id FROM compute_attempt WHERE status IN ('leased', 'reported', 'valid')
         GROUP BY unit_id, owner_id HAVING count(*) > 1""",
    "copies counted wrong": """
        SELECT u.id FROM compute_workunit u LEFT JOIN compute_attempt a ON a.unit_id = u.id
         GROUP BY u.id HAVING u.copies_made <> count(a.id)
             OR u.copies_live <> count(*) FILTER (WHERE a.status IN ('leased', 'reported', 'valid'))""",
}


class Race:
    """Threads that loop until they are stopped. Their exceptions are kept."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.errors: list[Exception] = []
        self.turns: dict[str, int] = {}
        self.threads: list[threading.Thread] = []

    def enter(self, name: str, turn: Callable[[], Any]) -> None:
        def loop() -> None:
            try:
                while not self.over.is_set():
                    try:
                        turn()
                    except Exception as error:  # the test checks it
                        self.errors.append(error)
                    self.turns[name] = self.turns.get(name, 0) + 1
            finally:
                connection.close()

        self.threads.append(threading.Thread(target=loop, name=name))

    def run(self, seconds: float, *, what_for: Callable[[], bool]) -> dict[str, list[Any]]:
        """Race for the set time and until `what_for` has occurred. Return the violations that were seen."""
        seen: dict[str, list[Any]] = {}
        for thread in self.threads:
            thread.start()
        ends = time.monotonic() + seconds
        gives_up = ends + PATIENCE_S
        while time.monotonic() < ends or not (what_for() or self.errors or time.monotonic() > gives_up):
            for what, sql in NEVER.items():
                if rows := execute(sql):
                    seen.setdefault(what, rows)
            time.sleep(0.02)
        self.over.set()
        for thread in self.threads:
            thread.join(PATIENCE_S)
        return seen


def decider(cars: list[Car], seed: int) -> Callable[[], None]:
    rng = random.Random(seed)

    def turn() -> None:
        vehicle, decision = rng.choice(cars).node.vehicle, rng.choice(["given", "given", "withdrawn"])
        try:
            consents.decide(vehicle=vehicle, purpose="run_jobs", decision=decision, actor=None, method="race")
        except Conflict as error:
            if error.code not in ("no_consent", "notice_changed"):
                raise
        time.sleep(rng.random() * 0.01)

    return turn


def syncer(cars: list[Car], seed: int) -> Callable[[], None]:
    """Act as the link: one batch for all its cars, which hold leases, renew some and report others."""
    rng = random.Random(seed)
    held: dict[str, dict[int, protocol.Lease]] = {car.id: {} for car in cars}

    def request(car: Car) -> protocol.SyncRequest:
        reports = [
            car.report(lease, outcome=rng.choice(["ok", "ok", "cancelled", "error"]), code="race")
            for lease in list(held[car.id].values())
            if rng.random() < 0.4
        ]
        for report in reports:
            del held[car.id][report.attempt]
        running = tuple(protocol.Renewal(attempt=x.attempt, fence=x.fence) for x in held[car.id].values())
        car.seq += 1
        return protocol.SyncRequest(
            node=car.id,
            seq=car.seq,
            available=True,
            capacity=6,
            running=running,
            reports=tuple(reports),
            policy_version=1,
        )

    def turn() -> None:
        for car, answer in zip(cars, _handle_syncs([request(car) for car in cars]), strict=True):
            assert answer.error == "", answer
            assert {ack.code for ack in answer.acks} <= ACK_CODES, answer.acks
            for cancel in answer.cancels:
                held[car.id].pop(cancel.attempt, None)
            held[car.id].update({lease.attempt: lease for lease in answer.leases})

    return turn


def dispatcher() -> None:
    dispatch.dispatch()
    verification.verify()
    dispatch.expire_leases()


def test_no_work_without_consent_whatever_the_order_of_events():
    owners = [factories.make_owner() for _ in range(4)]
    cars = [factories.make_car(owner) for owner in owners for _ in range(2)]
    factories.make_job(items=400, unit_items=1)
    race = Race()
    for number in range(4):
        race.enter(f"decider {number}", decider(cars, number))
    for number in range(2):
        race.enter(f"dispatcher {number}", dispatcher)
        race.enter(f"syncer {number}", syncer(cars[number::2], number))
    withdrawn = Attempt.objects.filter(status_code="consent_withdrawn")
    worked = Attempt.objects.filter(status__in=["reported", "valid"])
    assert race.run(RACE_S, what_for=lambda: len(race.turns) == 8 and withdrawn.exists() and worked.exists()) == {}
    assert [str(error) for error in race.errors] == []
    assert not any(thread.is_alive() for thread in race.threads)

    assert len(race.turns) == 8
    assert withdrawn.exists(), "nothing was raced for"
    assert worked.exists()
    for what, sql in NEVER.items():
        assert execute(sql) == [], what
    for owner in owners:
        check_chain(owner)
    withdraw_everything(owners)
    assert not Attempt.objects.filter(status="leased").exists()
    assert dispatch.dispatch() == 0
    assert selectors.consent_violations() == 0  # also by the times in the records, as an auditor would check


@pytest.fixture
def unpublished():
    """Delete the texts that a test publishes: the flush at the end of a test does not delete them."""
    yield
    with unguarded():
        execute("DELETE FROM accounts_consentnotice WHERE version > 1")


class TooLate(Exception):
    pass


def publisher(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Publish a new text from time to time, which takes effect shortly afterwards.

    A text must be committed before it takes effect; the site allows a minute for that. Here the time is several times
    as long as writing a text has taken so far. A text that took longer is deleted again.
    """
    monkeypatch.setattr(notices, "LEAD", timedelta())
    lead = [timedelta(seconds=0.6)]

    def turn() -> None:
        time.sleep(0.3)
        newest, began = notices.current_notice("run_jobs"), timezone.now()
        with suppress(TooLate), transaction.atomic():
            notices.publish(
                purpose="run_jobs",
                version=newest.version + 1,
                language="en",
                title="Run jobs",
                summary="Anew.",
                body=f"Text {newest.version + 1}.",
                validity_days=365,
                effective_at=began + lead[0],
            )
            if timezone.now() - began > lead[0] / 4:
                lead[0] *= 2
                raise TooLate

    return turn


@pytest.mark.long
def test_an_old_consent_leases_nothing_once_a_new_text_counts(monkeypatch, unpublished):
    """Texts change during dispatch.

    Some owners agree again, before or after that moment; the sweep ends the other consents.
    """
    cars = [factories.make_car() for _ in range(6)]
    factories.make_job(items=400, unit_items=1)
    race = Race()
    race.enter("publisher", publisher(monkeypatch))
    race.enter("decider", decider(cars, 0))
    race.enter("sweeper", lambda: (consents.expire(), time.sleep(0.05)))
    for number in range(2):
        race.enter(f"dispatcher {number}", dispatcher)
        race.enter(f"syncer {number}", syncer(cars[number::2], number))
    ended = ConsentRecord.objects.filter(method="notice_changed")
    anew = Attempt.objects.filter(consent_record__notice__version__gt=1)
    assert race.run(RACE_S, what_for=lambda: ended.exists() and anew.exists()) == {}
    assert [str(error) for error in race.errors] == []
    assert ended.exists(), "nothing was raced for"
    assert anew.exists()
    for what, sql in NEVER.items():
        assert execute(sql) == [], what
    assert selectors.consent_violations() == 0


@pytest.mark.long
def test_withdrawing_while_a_job_is_cancelled_succeeds():
    """A cancel locks units before attempts, a withdrawal attempts before units. Neither request may fail.

    The cancel is staged and retried as on the site: on a slow machine PostgreSQL may choose it as the deadlock's
    victim.
    """
    car = factories.make_car()
    attempt = factories.lease_to(car)
    locked = threading.Event()

    @atomic_retrying
    def cancel() -> None:
        execute("UPDATE compute_workunit SET status = 'cancelled' WHERE job_id = %s", attempt.job_id)
        if not locked.is_set():
            locked.set()
            until_somebody_waits_for_us()
        execute(
            "UPDATE compute_attempt SET status = 'cancelled' WHERE job_id = %s AND status = 'leased'",
            attempt.job_id,
        )

    def withdraw() -> None:
        assert locked.wait(PATIENCE_S)
        factories.decide(car.node.vehicle, "withdrawn")

    results = in_threads(cancel, withdraw)
    assert not [r for r in results if isinstance(r, Exception)], results


def check_chain(owner: Owner) -> None:
    """Check that every record has the hash of its bytes and continues the previous one."""
    head = "0" * 64
    for seq, record in enumerate(ConsentRecord.objects.filter(owner=owner).order_by("seq"), 1):
        assert (record.seq, record.prev_hash) == (seq, head)
        head = hashlib.sha256(bytes.fromhex(head) + bytes(record.payload)).hexdigest()
        assert record.hash == head


def withdraw_everything(owners: list[Owner]) -> None:
    for owner in owners:
        consents.withdraw_all(owner=owner, purpose="run_jobs", actor=None, method="race")
