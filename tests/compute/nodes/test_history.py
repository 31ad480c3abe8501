"""Availability and health: kept only under their own consents, written set-based, deleted with the consent."""

import random
import threading
import time
from contextlib import suppress
from datetime import timedelta
from itertools import count

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.consents import consents
from compute import protocol
from compute.link.process import _handle_syncs
from compute.models import AvailabilitySpan, HealthDay, Node, NodePresence
from compute.nodes import history, nodes
from compute.nodes.history_selectors import availability_by_day, costliest_reasons
from compute.sync import sync
from core.errors import Conflict
from tests import factories
from tests.compute.helpers import execute, refused
from tests.threads import in_threads
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.django_db
NEW_TEXT = """
INSERT INTO accounts_consentnotice (purpose, version, language, title, summary, body, sha256, validity_days, published_at,
                                    effective_at, created_at)
VALUES ('availability', 2, 'en', '', '', '', '', 365, now(), now(), now())
"""
HEALTH = protocol.Health(band="warm", units_failed=2)


@pytest.fixture
def car():
    return sharing("availability")


def sharing(*purposes, owner=None):
    car = factories.make_car(owner)
    for purpose in purposes:
        factories.decide(car.node.vehicle, "given", purpose)
    return car


def spans(car):
    return list(AvailabilitySpan.objects.filter(node=car.node).order_by("id").values_list("available", "reason"))


def queries(ask):
    with CaptureQueriesContext(connection) as captured:
        ask()
    return [query["sql"] for query in captured]


def batch(cars, **fields):
    requests = []
    for car in cars:
        car.seq += 1
        values = {"node": car.id, "seq": car.seq, "available": True, "capacity": 1, "policy_version": 1, **fields}
        requests.append(protocol.SyncRequest(**values))
    return sync.handle(requests, carrier="nats")


# --- the answers to the node
# ----------------------------------------------------------------------------------------------


def test_a_node_is_told_what_it_may_tell():
    car = sharing("availability", "reliability", "experiments", "region")
    assert car.sync().share == ("availability", "experiments", "region", "reliability")
    factories.decide(car.node.vehicle, "withdrawn", "experiments")
    assert car.sync().share == ("availability", "region", "reliability")
    assert factories.make_car().sync().share == ()


def test_consent_to_an_old_text_or_an_ended_one_is_not_among_it(car):
    execute(NEW_TEXT)
    assert car.sync().share == ()
    assert spans(car) == []


def test_a_node_without_consent_to_run_jobs_still_keeps_what_its_owner_allows():
    car = factories.make_car(consent="refused")
    factories.decide(car.node.vehicle, "given", "availability")
    assert (car.sync().share, spans(car)) == (("availability",), [(False, "consent_refused")])


# --- availability
# -------------------------------------------------------------------------------------------------------


def test_a_span_is_written_when_something_changes_and_only_then(car):
    for fields in (
        {},
        {"seq": 5},
        {"available": False, "reason": "driving"},
        {"available": False, "reason": "driving", "seq": 9},
        {"available": False, "reason": "charge_low", "seq": 10},
        {"seq": 11},
    ):
        car.sync(**fields)
    assert spans(car) == [(True, ""), (False, "driving"), (False, "charge_low"), (True, "")]
    rows = list(AvailabilitySpan.objects.order_by("id"))
    assert [row.ended_at for row in rows] == [*(row.started_at for row in rows[1:]), None]


def test_without_consent_nothing_is_written():
    for car in (factories.make_car(), sharing("reliability")):
        car.sync(available=False, reason="driving")
        assert spans(car) == []


def test_only_known_reasons_are_kept(car):
    """A node may send any text as its reason; a position such as 52.5N 13.4E must not be stored."""
    car.sync(available=False, reason="at 52.5N 13.4E")
    car.sync(available=False, reason="")
    car.sync(available=True, reason="charge_low")
    assert spans(car) == [(False, "other"), (True, "")]


def test_withdrawing_deletes_it_and_nothing_comes_back(car):
    car.sync()
    factories.decide(car.node.vehicle, "withdrawn", "availability")
    car.sync(available=False, reason="driving")
    assert not AvailabilitySpan.objects.exists()


def test_withdrawing_another_consent_leaves_it(car):
    car.sync()
    factories.decide(car.node.vehicle, "withdrawn")
    car.sync()
    assert spans(car) == [(True, ""), (False, "consent_withdrawn")]


def test_the_database_refuses_a_span_without_consent():
    car = factories.make_car()
    with refused("DW003"):
        AvailabilitySpan.objects.create(node=car.node, vehicle=car.node.vehicle, available=True)


def test_a_batch_in_which_nobody_shares_asks_nothing_more_whatever_its_size():
    cars, sharers = [factories.make_car() for _ in range(6)], [sharing("availability") for _ in range(4)]
    few, many = (queries(lambda some=some: batch(some)) for some in (cars[:2], cars))
    assert len(few) == len(many)
    assert not [sql for sql in many if "availabilityspan" in sql or "healthday" in sql]
    changed, quiet = (queries(lambda: batch([*cars, *sharers])) for _ in range(2))
    assert len(changed) == len(many) + 3
    assert len(quiet) == len(many) + 1
    assert len(queries(lambda: batch([*cars, *sharers[:1]]))) == len(quiet)


# --- going away
# ---------------------------------------------------------------------------------------------------------


def silent_for(seconds):
    execute("UPDATE compute_nodepresence SET last_sync_at = last_sync_at - make_interval(secs => %s)", seconds)
    execute("UPDATE compute_availabilityspan SET started_at = started_at - make_interval(secs => %s)", 2 * seconds)


def test_a_node_gone_silent_is_away_from_when_it_was_last_heard(car):
    car.sync()
    assert history.close_away() == 0
    silent_for(60)
    assert [history.close_away(), history.close_away()] == [1, 0]
    was, away = AvailabilitySpan.objects.order_by("id")
    heard = NodePresence.objects.get(node=car.node).last_sync_at
    assert (was.available, was.ended_at) == (True, heard)
    assert (away.available, away.reason, away.started_at, away.ended_at) == (False, "away", heard, None)
    car.sync()
    assert spans(car) == [(True, ""), (False, "away"), (True, "")]


def test_the_sweep_looks_at_nobody_who_does_not_share():
    car = factories.make_car()
    car.sync()
    silent_for(60)
    assert history.close_away() == 0
    assert NodePresence.objects.get(node=car.node).reason == ""


def test_under_a_text_that_counts_no_longer_the_open_span_ends_and_none_begins(car):
    car.sync()
    execute(NEW_TEXT)
    silent_for(60)
    assert history.close_away() == 0
    assert AvailabilitySpan.objects.get().ended_at is not None
    car.sync()
    assert spans(car) == [(True, "")]


def test_a_retired_computers_span_ends_and_the_next_one_has_its_own(car):
    car.sync()
    nodes.retire(node=car.node, why="replaced", actor=None)
    car.sync()
    key = factories.Ed25519PrivateKey.generate()
    node = factories.pairings.confirm(
        code=factories.make_pairing(key).code,
        owner=car.node.vehicle.owner,
        vehicle=car.node.vehicle,
        actor=car.node.vehicle.owner.user,
    )
    factories.Car(node, key).sync(available=False, reason="driving")
    rows = AvailabilitySpan.objects.order_by("id").values_list("node", "reason", "ended_at")
    assert [(row[0], row[1], row[2] is None) for row in rows] == [(car.node.pk, "", False), (node.pk, "driving", True)]


# --- health
# -------------------------------------------------------------------------------------------------------------


def test_health_is_counted_by_day_under_its_consent(stopped_clock):
    car = sharing("reliability")
    for band in ("cool", "warm", "warm", "hot"):
        car.sync(health=msgspec.structs.replace(HEALTH, band=band))
    row = HealthDay.objects.get()
    assert (row.node, row.vehicle, row.day) == (car.node, car.node.vehicle, stopped_clock.date())
    assert (row.reports_cool, row.reports_warm, row.reports_hot, row.units_failed) == (1, 2, 1, 8)
    factories.decide(car.node.vehicle, "withdrawn", "reliability")
    car.sync(health=HEALTH)
    assert not HealthDay.objects.exists()


def test_health_that_nobody_allowed_is_dropped(car):
    car.sync(health=HEALTH)
    assert not HealthDay.objects.exists()


@pytest.mark.parametrize("failed", [-1, 2**31, 2**63])
def test_absurd_health_is_malformed(failed):
    answer = sharing("reliability").sync(health=protocol.Health(band="hot", units_failed=failed))
    assert answer.error == "malformed"


def test_the_count_stops_where_the_column_ends():
    car = sharing("reliability")
    for _ in range(2):
        assert car.sync(health=protocol.Health(band="hot", units_failed=2**31 - 1)).error == ""
    assert HealthDay.objects.get().units_failed == 2**31 - 1


# --- what the owner is shown
# --------------------------------------------------------------------------------------------


def keep(car, *rows):
    """Insert spans given as (available, reason, started, ended)."""
    for available, reason, started, ended in rows:
        AvailabilitySpan.objects.create(
            node=car.node,
            vehicle=car.node.vehicle,
            available=available,
            reason=reason,
            started_at=started,
            ended_at=ended,
        )


def test_the_share_of_each_day_in_the_owners_time_zone(car, stopped_clock):
    today = stopped_clock.replace(hour=0, minute=0, second=0, microsecond=0)
    two_days_ago, yesterday = today - timedelta(days=2), today - timedelta(days=1)
    hours = timedelta(hours=1)
    keep(
        car,
        (True, "", two_days_ago + 12 * hours, yesterday + 6 * hours),  # across midnight
        (False, "driving", yesterday + 6 * hours, yesterday + 12 * hours),
        (True, "", today - timedelta(days=60), today - timedelta(days=59)),
    )
    days = availability_by_day(car.node.vehicle)
    assert [(d.day, d.available_s, d.known_s, d.percent) for d in days] == [
        (two_days_ago.date(), 12 * 3600, 12 * 3600, 100),
        (yesterday.date(), 6 * 3600, 12 * 3600, 50),
    ]
    east = availability_by_day(
        car.node.vehicle, time_zone="Etc/GMT-14"
    )  # there a day begins at 10:00 UTC of the day before
    assert [(d.day, d.available_s / 3600, d.known_s / 3600) for d in east] == [
        (yesterday.date(), 18, 22),
        (today.date(), 0, 2),
    ]


def test_the_reasons_that_cost_most(car):
    now = timezone.now()
    hour = timedelta(hours=1)
    keep(
        car,
        (False, "charge_low", now - 100 * hour, now - 90 * hour),
        (True, "", now - 90 * hour, now - 50 * hour),
        (False, "driving", now - 50 * hour, now - 48 * hour),
        (False, "other", now - 48 * hour, now - 47 * hour),
        (False, "charge_low", now - 47 * hour, now - 46 * hour),
        (False, "away", now - timedelta(days=40), now - timedelta(days=30) + hour / 2),
    )
    found = [(cost.reason, cost.setting, round(cost.seconds / 60)) for cost in costliest_reasons(car.node.vehicle)]
    assert found == [
        ("charge_low", "charge_stop_percent", 660),
        ("driving", "", 120),
        ("other", "", 60),
        ("away", "", 30),
    ]
    assert costliest_reasons(car.node.vehicle, limit=1)[0].sentence.startswith("The charge is below")
    assert costliest_reasons(car.node.vehicle)[2].sentence == "Not available."


def test_nothing_is_read_when_consent_is_no_longer_in_force(car):
    car.sync(available=False, reason="driving")
    silent_for(60)
    assert costliest_reasons(car.node.vehicle)
    execute(NEW_TEXT)
    assert (costliest_reasons(car.node.vehicle), availability_by_day(car.node.vehicle)) == ([], [])


# In the order in which syncs lock the rows, because this statement is not retried after a deadlock.
LONG_AGO = """
WITH held AS (SELECT node_id FROM compute_nodepresence ORDER BY node_id FOR NO KEY UPDATE)
UPDATE compute_nodepresence p SET last_sync_at = now() - interval '60 s' FROM held WHERE held.node_id = p.node_id
"""


RACED_FOR = {"", "driving", "too_hot", "away"}


# --- races
# --------------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_withdrawing_while_syncing_leaves_no_row_and_no_error():
    owner = factories.make_owner()
    cars = [sharing("availability", "reliability", owner=owner) for _ in range(3)]
    over, seen, rounds = threading.Event(), set(), count(1)
    latest = [0]

    def syncing():
        rng = random.Random(1)
        while not over.is_set():
            requests = []
            for car in cars:
                car.seq += 1
                requests.append(
                    protocol.SyncRequest(
                        node=car.id,
                        seq=car.seq,
                        available=rng.random() < 0.5,
                        reason=rng.choice(["driving", "too_hot"]),
                        health=HEALTH,
                        policy_version=1,
                    )
                )
            assert {answer.error for answer in _handle_syncs(requests)} == {""}
            latest[0] = next(rounds)

    def sweeping():
        while not over.is_set():
            execute(LONG_AGO)
            history.close_away()
            time.sleep(0.005)

    def deciding():
        try:
            rng, began = random.Random(2), time.monotonic()
            while time.monotonic() < began + 1 or not seen >= RACED_FOR:
                assert time.monotonic() < began + PATIENCE_S, seen
                seen.update(AvailabilitySpan.objects.values_list("reason", flat=True)[:9])
                decide(
                    rng.choice(cars), rng.choice(["given", "withdrawn"]), rng.choice(["availability", "reliability"])
                )
            for car in cars:
                for purpose in ("availability", "reliability"):
                    decide(car, "withdrawn", purpose)
        finally:
            last = latest[0]
            try:
                until(lambda: latest[0] > last + 2, what="syncs that continue")
            finally:
                over.set()

    assert [str(r) for r in in_threads(syncing, deciding, sweeping) if isinstance(r, Exception)] == []
    assert seen == RACED_FOR, "nothing was raced for"
    assert not AvailabilitySpan.objects.exists()
    assert not HealthDay.objects.exists()
    assert Node.objects.count() == 3


def decide(car, decision, purpose):
    with suppress(Conflict):  # there is nothing to withdraw
        consents.decide(vehicle=car.node.vehicle, purpose=purpose, decision=decision, actor=None, method="race")
