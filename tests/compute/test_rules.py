"""The rules of compute in the database: each one is attacked with raw SQL that bypasses all services."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.consents import consents
from accounts.models import ConsentCurrent, ConsentRecord
from compute.dispatch import dispatch, verification
from compute.models import Attempt, MeterRecord, UsageRecord, WorkUnit
from tests import factories
from tests.compute.helpers import execute, leased, one_unit, present, refused, unguarded, work
from tests.database import as_owner
from tests.factories import Car
from tests.long import examples

pytestmark = pytest.mark.django_db

LEASE = """
INSERT INTO compute_attempt (unit_id, job_id, node_id, vehicle_id, owner_id, consent_record_id, fence, status, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now() + interval '15 s') RETURNING id
"""


def consent_of(car: Car) -> ConsentRecord:
    return ConsentCurrent.objects.get(vehicle=car.node.vehicle, purpose="run_jobs").record


def lease(car: Car, unit: WorkUnit, *, fence: int = 1, status: str = "leased", **other: Any) -> int:
    """Insert an attempt by raw SQL, valid except for the columns in `other`."""
    vehicle = car.node.vehicle
    consent = other.get("consent") or consent_of(car)
    values = [
        unit.pk,
        unit.job_id,
        other.get("node", car.node.pk),
        other.get("vehicle", vehicle.pk),
        other.get("owner", vehicle.owner_id),
        consent.pk,
        fence,
        status,
    ]
    return execute(LEASE, *values)[0][0]


@pytest.fixture
def unit() -> WorkUnit:
    return factories.make_job(items=4, unit_items=4).units.get()


def test_with_consent_in_force_an_attempt_may_be_made(unit):
    assert lease(factories.make_car(), unit)


@pytest.mark.parametrize("consent", ["", "refused"])
def test_no_attempt_without_consent(unit, consent):
    car, other = factories.make_car(consent=consent), factories.make_car()
    with refused("DW003"):
        lease(car, unit, consent=consent_of(other))


def test_no_attempt_with_a_record_of_refusal(unit):
    with refused("DW003"):
        lease(factories.make_car(consent="refused"), unit)


def test_no_attempt_after_withdrawal_with_either_record(unit):
    car = factories.make_car()
    given_record = consent_of(car)
    withdrawal = factories.decide(car.node.vehicle, "withdrawn")
    for record in (given_record, withdrawal):
        with refused("DW003"):
            lease(car, unit, consent=record)


def test_an_old_record_does_not_serve_after_consent_is_given_again(unit):
    car = factories.make_car()
    old = consent_of(car)
    factories.decide(car.node.vehicle, "withdrawn")
    factories.decide(car.node.vehicle, "given")
    with refused("DW003"):
        lease(car, unit, consent=old)
    assert lease(car, unit)


@pytest.mark.parametrize("swept", [False, True], ids=["by the clock", "by the record"])
def test_no_attempt_after_consent_expired(unit, swept, monkeypatch):
    car = factories.make_car(consent="")
    long_ago = timezone.now() - timedelta(days=400)
    with monkeypatch.context() as patch:
        patch.setattr(consents, "_database_clock", lambda: long_ago)
        factories.decide(car.node.vehicle, "given")
    record = consent_of(car)
    if swept:
        assert consents.expire() == 1
    with refused("DW003"):
        lease(car, unit, consent=record)


def test_no_attempt_with_another_vehicles_record(unit):
    owner = factories.make_owner()
    car, sister = factories.make_car(owner), factories.make_car(owner)
    with refused("DW003"):
        lease(car, unit, consent=consent_of(sister))


def test_no_attempt_with_another_purposes_record(unit):
    car = factories.make_car(consent="")
    with refused("DW003"):
        lease(car, unit, consent=factories.decide(car.node.vehicle, "given", "availability"))


@pytest.mark.parametrize("swapped", ["owner", "vehicle", "node"])
def test_no_attempt_that_mixes_two_cars(unit, swapped):
    car, other = factories.make_car(), factories.make_car()
    theirs = {"owner": other.node.vehicle.owner_id, "vehicle": other.node.vehicle_id, "node": other.node.pk}
    with refused("DW003"):
        lease(car, unit, **{swapped: theirs[swapped]})


def test_no_attempt_on_a_retired_vehicle(unit):
    car = factories.make_car()
    with unguarded():  # the rules would require that its consent ends first
        execute("UPDATE accounts_vehicle SET retired_at = now() WHERE id = %s", car.node.vehicle_id)
    with refused("DW003"):
        lease(car, unit)


@pytest.mark.parametrize("status", [s for s in Attempt.Status.values if s != "leased"])
def test_an_attempt_begins_leased(unit, status):
    with refused("DW003"):
        lease(factories.make_car(), unit, status=status)


def test_one_attempt_without_consent_refuses_the_batch(unit):
    good, bad = factories.make_car(), factories.make_car(consent="refused")
    rows = [
        (unit.pk, unit.job_id, c.node.pk, c.node.vehicle_id, c.node.vehicle.owner_id, consent_of(c).pk, fence, "leased")
        for fence, c in enumerate([good, bad], 1)
    ]
    values = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s, now())"] * 2)
    with refused("DW003"):
        execute(LEASE.split("VALUES")[0] + "VALUES " + values, *rows[0], *rows[1])
    assert not Attempt.objects.exists()


# Two copies of a unit with one owner


def test_one_owner_never_holds_two_live_copies(unit):
    owner = factories.make_owner()
    lease(factories.make_car(owner), unit)
    sister = factories.make_car(owner)
    with pytest.raises(IntegrityError, match="attempt_one_live_by_owner"), transaction.atomic():
        lease(sister, unit, fence=2)


def test_nor_by_one_statement(unit):
    owner = factories.make_owner()
    cars = [factories.make_car(owner) for _ in range(2)]
    rows = [
        Attempt(
            unit=unit,
            job=unit.job,
            node=car.node,
            vehicle=car.node.vehicle,
            owner=owner,
            fence=fence,
            consent_record=consent_of(car),
            expires_at=timezone.now(),
        )
        for fence, car in enumerate(cars, 1)
    ]
    with pytest.raises(IntegrityError, match="attempt_one_live_by_owner"), transaction.atomic():
        Attempt.objects.bulk_create(rows)


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed"])
def test_a_copy_that_ended_does_not_count(unit, status):
    owner = factories.make_owner()
    lease(factories.make_car(owner), unit)
    Attempt.objects.update(status=status)
    assert lease(factories.make_car(owner), unit, fence=2)


def test_a_fence_is_used_once(unit):
    lease(factories.make_car(), unit)
    other = factories.make_car()
    with pytest.raises(IntegrityError, match="attempt_fence_once"), transaction.atomic():
        lease(other, unit, fence=1)


# A lease cannot be changed


@pytest.mark.parametrize(
    "change",
    [
        "unit_id = (SELECT max(id) FROM compute_workunit)",
        "job_id = (SELECT max(id) FROM compute_inferencejob)",
        "node_id = (SELECT max(id) FROM compute_node)",
        "vehicle_id = (SELECT max(id) FROM accounts_vehicle)",
        "owner_id = (SELECT max(id) FROM accounts_owner)",
        "fence = fence + 1",
        "consent_record_id = (SELECT max(id) FROM accounts_consentrecord)",
        "leased_at = leased_at - interval '1 h'",
        "status = 'cancelled', fence = 9",
    ],
)
def test_what_an_attempt_was_leased_for_never_changes(unit, change):
    lease(factories.make_car(), unit)
    factories.make_car()
    factories.make_job()
    with refused("DW002"):
        execute(f"UPDATE compute_attempt SET {change}")


def finished_unit() -> None:
    cars = present(2)
    one_unit(cars)
    for car in cars:
        work(car)
    verification.verify()
    assert UsageRecord.objects.count() == 2


@pytest.mark.parametrize("table", ["compute_attempt", "compute_meterrecord", "compute_usagerecord"])
@pytest.mark.parametrize("attack", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "TRUNCATE {}"])
def test_history_is_not_deleted(table, attack):
    finished_unit()
    execute("SET CONSTRAINTS ALL IMMEDIATE")  # otherwise TRUNCATE is refused because of this transaction's own rows
    with (
        pytest.raises(DatabaseError, match=r"append-only|cannot truncate a table referenced"),
        transaction.atomic(),
        as_owner(),
    ):
        execute(attack.format(table))
    assert execute(f"SELECT count(*) FROM {table}")[0][0] == 2


@pytest.mark.parametrize(
    "change",
    ["compute_ms = 1", "energy_mwh = 0", "record = ''", "signature = ''", "received_at = now()", "outcome = 'error'"],
)
def test_a_meter_record_never_changes(change):
    finished_unit()
    with refused("DW002"):
        execute(f"UPDATE compute_meterrecord SET {change}")


def meter(car: Car, attempt: int, *, seq: int, prev: str, record: bytes = b"{}", digest: str = "") -> str:
    digest = digest or hashlib.sha256(record).hexdigest()
    execute(
        "INSERT INTO compute_meterrecord (node_id, attempt_id, seq, prev_hash, hash, record, signature, outcome,"
        " compute_ms, energy_mwh, energy_method, output_sha256) VALUES (%s,%s,%s,%s,%s,%s,'','ok',1,1,'model','')",
        car.node.pk,
        attempt,
        seq,
        prev,
        digest,
        record,
    )
    return digest


def test_meter_records_continue_their_chain(unit):
    car, other = factories.make_car(), factories.make_car()
    attempt, theirs = lease(car, unit), lease(other, unit, fence=2)
    zero = "0" * 64
    with refused("DW004"):
        meter(car, attempt, seq=1, prev=zero, digest="f" * 64)
    with refused("DW004"):
        meter(car, attempt, seq=1, prev="f" * 64)
    with refused("DW004"):
        meter(car, attempt, seq=2, prev=zero)
    first = meter(car, attempt, seq=1, prev=zero)
    with pytest.raises(IntegrityError, match="meter_record_chain"), transaction.atomic():
        meter(car, attempt, seq=1, prev=zero, record=b"{ }")
    with refused("DW004"):
        meter(car, attempt, seq=2, prev=zero)
    with refused("DW004"):
        meter(car, attempt, seq=3, prev=first)
    with refused("DW004"):
        meter(other, theirs, seq=2, prev=first)
    assert meter(car, attempt, seq=2, prev=first)
    assert MeterRecord.objects.count() == 2


# Usage


@pytest.mark.parametrize(
    "change",
    [
        "compute_ms = compute_ms + 1",
        "energy_mwh = 9",
        "is_canonical = NOT is_canonical",
        "items = 1",
        "owner_id = (SELECT max(id) FROM accounts_owner) + 0 * id",
        "settled_at = NULL",
        "settled_at = now(), compute_ms = 9",
        "created_at = now() - interval '1 h', settled_at = now()",
    ],
)
def test_usage_never_changes(change):
    finished_unit()
    with refused("DW002"):
        execute(f"UPDATE compute_usagerecord SET {change}")


def test_usage_is_settled_once():
    finished_unit()
    execute("UPDATE compute_usagerecord SET settled_at = now()")
    for again in ("now()", "now() + interval '1 s'", "NULL"):
        with refused("DW002"):
            execute(f"UPDATE compute_usagerecord SET settled_at = {again}")


def test_an_attempt_has_one_usage_record():
    finished_unit()
    with pytest.raises(IntegrityError), transaction.atomic():
        execute(
            "INSERT INTO compute_usagerecord (attempt_id, meter_record_id, job_id, organization_id, owner_id, vehicle_id,"
            " node_id, hardware_class_id, is_canonical, items, compute_ms, energy_mwh)"
            " SELECT attempt_id, meter_record_id, job_id, organization_id, owner_id, vehicle_id,"
            " node_id, hardware_class_id, is_canonical, items, compute_ms, energy_mwh FROM compute_usagerecord LIMIT 1"
        )


# Counts that the database maintains

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reported", "expired", "cancelled", "failed", "valid", "invalid", "lease"]), st.integers(1, 9)
    ),
    max_size=14,
)


def test_copies_live_is_always_the_number_of_live_attempts():
    """Random bulk changes: the database refuses the illegal ones and counts the others."""
    cars = present(3, capacity=9)
    factories.make_job(items=12, unit_items=4)
    dispatch.dispatch()

    @settings(max_examples=examples(12), deadline=None)
    @given(steps=STEPS)
    def holds(steps):
        with transaction.atomic():
            for status, part in steps:
                change(status, part)
                assert all(live == n and made == total for live, made, n, total in execute(COUNTED))
            assert all(len(leased(car)) <= 9 for car in cars)
            transaction.set_rollback(True)

    holds()


COUNTED = """
SELECT u.copies_live, u.copies_made, count(*) FILTER (WHERE a.status IN ('leased', 'reported', 'valid')), count(a.id)
  FROM compute_workunit u LEFT JOIN compute_attempt a ON a.unit_id = u.id GROUP BY u.id
"""


def change(status: str, part: int) -> None:
    """Dispatch, or change some of the attempts that may change to that status."""
    if status == "lease":
        dispatch.dispatch()
        return
    allowed = [old for old, news in Attempt.TRANSITIONS.items() if status in news]
    ids = [pk for pk in Attempt.objects.filter(status__in=allowed).values_list("pk", flat=True) if pk % 3 < part % 4]
    Attempt.objects.filter(pk__in=ids).update(status=status)
