"""Consent rules attacked with raw SQL, also as the tables' owner: the database refuses every attack."""

import hashlib
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.consents import consents, notices
from accounts.models import AuditEvent, ConsentCurrent, ConsentNotice, ConsentRecord, Vehicle
from accounts.receipts import record as consent_record
from compute.models import Attempt
from tests import factories
from tests.database import sqlstate_of

pytestmark = pytest.mark.django_db
APPEND_ONLY, BROKEN_CHAIN, NO_CONSENT = "DW002", "DW004", "DW003"
NOBODY = str(uuid.UUID(int=1))

COLUMNS = (
    "created_at, public_id, owner_id, vehicle_id, notice_id, actor_id, purpose, state, method, at, expires_at,"
    " seq, payload,"
    " prev_hash, hash, signature"
)


def lapse(vehicle: Vehicle, purpose: str = "run_jobs") -> ConsentRecord:
    """Insert a consent of two years ago that was valid for one: it has expired without an "expired" record yet."""
    at = timezone.now() - timedelta(days=730)
    return insert(next_record(vehicle, purpose=purpose, at=at, expires_at=at + timedelta(days=365)))


def next_record(vehicle: Vehicle, *, purpose: str = "run_jobs", state: str = "given", **changes: Any) -> dict[str, Any]:
    """Return the columns of a valid next record of the owner's chain, with `changes`.

    `changes` whose names begin with "signed_" change the signed payload, the others change columns.
    """
    notice = notices.current_notice(purpose)
    head = ConsentRecord.objects.filter(owner=vehicle.owner).order_by("-seq").first()
    row: dict[str, Any] = {
        "created_at": timezone.now(),
        "public_id": uuid.uuid4(),
        "owner_id": vehicle.owner_id,
        "vehicle_id": vehicle.pk,
        "notice_id": notice.pk,
        "actor_id": vehicle.owner.user_id,
        "purpose": purpose,
        "state": state,
        "method": "test",
        "at": timezone.now(),
        "expires_at": None,
        "seq": head.seq + 1 if head else 1,
        "prev_hash": head.hash if head else "0" * 64,
        "signature": "00" * 64,
    }
    row |= {name: changes.pop(name) for name in ("at", "expires_at") if name in changes}
    act = consent_record.Act(
        record_id=row["public_id"],
        seq=row["seq"],
        owner=vehicle.owner.public_id,
        vehicle=vehicle.public_id,
        country="US",
        state=state,
        method="test",
        entity=f"user:{vehicle.owner.user_id}",
        at=row["at"],
        expires_at=row["expires_at"],
    )
    fields = consent_record.record_fields(act, consents.notice_of(notice), consents.controller())
    fields |= {name.removeprefix("signed_"): changes.pop(name) for name in list(changes) if name.startswith("signed_")}
    row["payload"] = changes.pop("payload", None) or json.dumps(fields).encode()
    row |= {name: changes.pop(name) for name in ("prev_hash",) if name in changes}
    row["hash"] = hashlib.sha256(bytes.fromhex(row["prev_hash"]) + row["payload"]).hexdigest()
    return row | changes


def insert(row: dict[str, Any]) -> ConsentRecord:
    """Insert a record with plain SQL, without any service."""
    names = COLUMNS.replace("\n", "").split(", ")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO accounts_consentrecord ({COLUMNS}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id",
            [row[name] for name in names],
        )
        return ConsentRecord.objects.get(pk=cursor.fetchone()[0])


def refusal(statement: str, *parameters: Any) -> str:
    """Return the SQLSTATE of the database's error, or "" if the statement succeeds."""
    return sqlstate_of(statement, parameters)


def refusal_of(row: dict[str, Any]) -> str:
    try:
        with transaction.atomic():
            insert(row)
    except DatabaseError as error:
        return getattr(error.__cause__, "sqlstate", None) or str(error)
    return ""


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


@pytest.fixture
def vehicle(alice):
    """Return a vehicle with one consent, so that every table has a row to attack."""
    return factories.make_vehicle(alice, consent="given")


# --- no record is ever changed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_consentrecord SET state = 'given'",
        "UPDATE accounts_consentrecord SET expires_at = NULL",
        "UPDATE accounts_consentrecord SET id = id",
        "DELETE FROM accounts_consentrecord",
        "TRUNCATE accounts_consentrecord CASCADE",
        "UPDATE accounts_consentnotice SET body = 'You agree to everything.'",
        "UPDATE accounts_consentnotice SET validity_days = 36500",
        "DELETE FROM accounts_consentnotice",
        "DELETE FROM accounts_consentnotice WHERE purpose = 'experiments'",
        "TRUNCATE accounts_consentnotice CASCADE",
        "UPDATE accounts_auditevent SET actor_id = NULL",
        "DELETE FROM accounts_auditevent",
        "TRUNCATE accounts_auditevent",
        "DELETE FROM accounts_consentcurrent",
        "INSERT INTO accounts_consentrecord SELECT * FROM accounts_consentrecord ON CONFLICT (id) DO UPDATE SET"
        " state = 'given'",
        "MERGE INTO accounts_auditevent a USING accounts_user u ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_history_cannot_be_changed(vehicle, statement):
    before = list(ConsentRecord.objects.values()), list(AuditEvent.objects.values())
    assert refusal(statement) in (APPEND_ONLY, BROKEN_CHAIN)
    assert (list(ConsentRecord.objects.values()), list(AuditEvent.objects.values())) == before


def test_the_projection_cannot_be_truncated(vehicle):
    assert refusal("TRUNCATE accounts_consentcurrent") == APPEND_ONLY


def test_deleting_the_person_does_not_delete_the_consents(vehicle):
    for table in ("accounts_vehicle", "accounts_owner", "accounts_user"):
        assert refusal(f"DELETE FROM {table}") == "23503"  # foreign_key_violation


# --- no false record is ever added ------------------------------------------------------------------------------------


def test_an_honest_record_is_accepted(vehicle):
    """The helper's unchanged row is valid, so the tests below are refused for what they change."""
    assert refusal_of(next_record(vehicle, state="withdrawn")) == ""
    assert ConsentCurrent.objects.get(vehicle=vehicle).state == "withdrawn"


@pytest.mark.parametrize(
    "change",
    [
        {"hash": "0" * 64},
        {"hash": "A" * 64},
        {"seq": 1},
        {"seq": 3},
        {"seq": 0},
        {"prev_hash": "0" * 64},
        {"prev_hash": "f" * 64},
        {"state": "given", "signed_event": {"event_state": "refused"}},
        {"signed_record_id": NOBODY},
        {"signed_seq": 7},
        {"signed_purpose": "availability"},
        {"signed_pii_principal_id": NOBODY},
        {"signed_vehicle": NOBODY},
        {"signed_notice_sha256": "0" * 64},
        {"signed_vehicle": None},
        {"payload": b"{}"},
        {"payload": b"[]"},
        {"payload": b"null"},
    ],
    ids=str,
)
def test_a_forged_record_is_refused(vehicle, change):
    assert refusal_of(next_record(vehicle, **change)) == BROKEN_CHAIN
    assert ConsentRecord.objects.count() == 1


@pytest.mark.parametrize(
    "payload", [b"not json", b"\xff\xfe", b'{"seq": "x"}', b"", b'{"record_id": "\\u0000"}'], ids=str
)
def test_bytes_that_are_no_record_are_refused(vehicle, payload):
    assert refusal_of(next_record(vehicle) | {"payload": payload})
    row = next_record(vehicle, payload=payload or b" ")
    assert refusal_of(row)
    assert ConsentRecord.objects.count() == 1


def test_a_column_that_says_more_than_the_signed_bytes(vehicle):
    """The signed bytes have "refused" while the column that dispatch reads has "given"."""
    row = next_record(vehicle, state="refused")
    assert refusal_of(row | {"state": "given"}) == BROKEN_CHAIN
    assert refusal_of(row | {"purpose": "availability"}) == BROKEN_CHAIN


@pytest.mark.parametrize("column", ["expires_at", "at", "method", "actor_id"])
def test_every_column_must_say_what_the_signed_bytes_say(vehicle, column):
    """A consent that was signed for a year must not be valid for a hundred, nor be recorded as another person's."""
    now = timezone.now()
    row = next_record(vehicle, at=now, expires_at=now + timedelta(days=365))
    other = {
        "expires_at": now + timedelta(days=36500),
        "at": now - timedelta(days=100),
        "method": "letter",
        "actor_id": factories.make_user().pk,
    }
    assert refusal_of(row | {column: other[column]}) == BROKEN_CHAIN


def test_a_state_that_is_none(vehicle):
    assert refusal_of(next_record(vehicle, state="assumed")) == "23514"  # check_violation


def test_a_vehicle_of_another_owner(vehicle, alice):
    bobs = factories.make_vehicle(factories.make_owner("bob@example.com"), consent="")
    row = next_record(vehicle, signed_vehicle=str(bobs.public_id)) | {"vehicle_id": bobs.pk}
    assert refusal_of(row) == BROKEN_CHAIN
    assert not ConsentCurrent.objects.filter(vehicle=bobs).exists()


def test_a_notice_of_another_purpose(vehicle):
    notice = notices.current_notice("experiments")
    row = next_record(vehicle, signed_notice_sha256=notice.sha256) | {"notice_id": notice.pk}
    assert refusal_of(row) == BROKEN_CHAIN


def test_a_record_cannot_be_copied_to_come_back(vehicle):
    """Inserting the bytes of the original consent again does not restore a withdrawn one."""
    given = ConsentRecord.objects.values().get()
    factories.decide(vehicle, "withdrawn")
    replay = {**given, "payload": bytes(given["payload"])}
    assert refusal_of(replay) == BROKEN_CHAIN
    head = ConsentRecord.objects.latest("seq")
    replay |= {"seq": head.seq + 1, "prev_hash": head.hash, "public_id": uuid.uuid4()}
    replay["hash"] = hashlib.sha256(bytes.fromhex(head.hash) + replay["payload"]).hexdigest()
    assert refusal_of(replay) == BROKEN_CHAIN
    assert not ConsentCurrent.objects.get(vehicle=vehicle).is_in_force


# --- the projection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "state = 'given'",
        "state = 'given', record_id = (SELECT min(id) FROM accounts_consentrecord)",
        "record_id = (SELECT min(id) FROM accounts_consentrecord)",
        "expires_at = now() + interval '1 year'",
        "purpose = 'experiments'",
    ],
)
def test_the_projection_cannot_be_edited_into_a_consent(vehicle, change):
    factories.decide(vehicle, "withdrawn")
    assert refusal(f"UPDATE accounts_consentcurrent SET {change}") == BROKEN_CHAIN
    assert not ConsentCurrent.objects.get(vehicle=vehicle).is_in_force


def test_the_end_of_a_consent_cannot_be_moved(vehicle):
    assert refusal("UPDATE accounts_consentcurrent SET expires_at = NULL") == BROKEN_CHAIN


def test_the_projection_cannot_be_made_up(alice, vehicle):
    other = factories.make_vehicle(alice, consent="")
    made_up = (
        "INSERT INTO accounts_consentcurrent (vehicle_id, purpose, record_id, state) "
        "SELECT %s, 'run_jobs', id, 'given' FROM accounts_consentrecord"
    )
    assert refusal(made_up, other.pk) == BROKEN_CHAIN


def test_the_vehicle_of_a_projection_cannot_be_swapped(alice, vehicle):
    other = factories.make_vehicle(alice, consent="")
    assert refusal("UPDATE accounts_consentcurrent SET vehicle_id = %s", other.pk) == BROKEN_CHAIN


# --- leases need consent ----------------------------------------------------------------------------------------------

LEASE = (
    "INSERT INTO compute_attempt (unit_id, job_id, node_id, vehicle_id, owner_id, consent_record_id, fence, status,"
    " expires_at) VALUES (%s, %s, %s, %s, %s, %s, 1, 'leased', now() + interval '15 s')"
)


def lease_by_hand(car, **changes: Any) -> str:
    unit = factories.make_job(items=4, unit_items=4).units.get()
    vehicle = car.node.vehicle
    record = ConsentRecord.objects.filter(vehicle=vehicle, purpose="run_jobs").order_by("seq").last()
    row = {
        "unit": unit.pk,
        "job": unit.job_id,
        "node": car.node.pk,
        "vehicle": vehicle.pk,
        "owner": vehicle.owner_id,
        "record": record and record.pk,
        **changes,
    }
    return refusal(LEASE, *row.values())


def test_a_lease_needs_the_consent_that_it_names():
    car = factories.make_car()
    given = ConsentRecord.objects.get(vehicle=car.node.vehicle)
    factories.decide(car.node.vehicle, "withdrawn")
    for record in (given.pk, ConsentRecord.objects.latest("seq").pk):
        assert lease_by_hand(car, record=record) == NO_CONSENT
    factories.decide(car.node.vehicle, "given")
    assert lease_by_hand(car, record=given.pk) == NO_CONSENT
    assert lease_by_hand(car) == ""


@pytest.mark.parametrize("decision", ["refused", ""])
def test_no_lease_without_consent(decision):
    car, other = factories.make_car(consent=decision), factories.make_car()
    borrowed = ConsentRecord.objects.get(vehicle=other.node.vehicle).pk
    assert lease_by_hand(car, record=borrowed) == NO_CONSENT
    assert lease_by_hand(car, record=borrowed, owner=other.node.vehicle.owner_id) == NO_CONSENT
    assert lease_by_hand(car, record=borrowed, vehicle=other.node.vehicle_id) == NO_CONSENT


def test_no_lease_after_the_end_even_before_the_sweep():
    car = factories.make_car(consent="")
    lapse(car.node.vehicle)
    assert lease_by_hand(car) == NO_CONSENT


def test_no_lease_on_consent_to_something_else():
    car = factories.make_car(consent="")
    record = factories.decide(car.node.vehicle, "given", "experiments")
    assert lease_by_hand(car, record=record.pk) == NO_CONSENT


def test_consent_does_not_travel_to_the_next_owner():
    car = factories.make_car()
    bob = factories.make_owner("bob@example.com")
    moved = refusal("UPDATE accounts_vehicle SET owner_id = %s WHERE id = %s", bob.pk, car.node.vehicle_id)
    assert moved or lease_by_hand(car, owner=bob.pk) == NO_CONSENT


def test_withdrawing_with_plain_sql_ends_the_leases_as_well():
    car = factories.make_car()
    attempt = factories.lease_to(car)
    insert(next_record(car.node.vehicle, state="withdrawn"))
    attempt = Attempt.objects.get(pk=attempt.pk)
    assert (attempt.status, attempt.status_code) == ("cancelled", "consent_withdrawn")


def test_notices_can_be_added():
    values = {"purpose": "run_jobs", "title": "t", "summary": "s", "body": "b", "sha256": "0" * 64}
    assert ConsentNotice.objects.create(version=2, **values).version == 2
