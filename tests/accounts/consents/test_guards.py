"""Consent rules attacked with raw SQL: old texts, closed accounts, sold cars, and data that needs other purposes."""

import hashlib
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import ConsentCurrent, ConsentNotice, Vehicle
from tests import factories
from tests.accounts.consents.test_rules import (
    BROKEN_CHAIN,
    NO_CONSENT,
    NOBODY,
    insert,
    lease_by_hand,
    next_record,
    refusal,
    refusal_of,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


@pytest.fixture
def vehicle(alice):
    return factories.make_vehicle(alice, consent="given")


# --- texts, closed accounts, sold cars --------------------------------------------------------------------------------


def new_text(purpose="run_jobs", *, since=timedelta(hours=1)):
    values = {"title": "t", "summary": "s", "body": "b", "sha256": "0" * 64}
    return ConsentNotice.objects.create(purpose=purpose, version=2, effective_at=timezone.now() - since, **values)


def old_text(vehicle, **changes):
    """Return the columns of a next record that names the first version of the text."""
    first = ConsentNotice.objects.get(purpose="run_jobs", version=1, language="en")
    return next_record(vehicle, signed_notice_sha256=first.sha256, **changes) | {"notice_id": first.pk}


def test_consent_to_an_old_text_is_refused_and_ending_it_is_not(vehicle):
    new_text()
    assert refusal_of(old_text(vehicle)) == NO_CONSENT
    assert refusal_of(old_text(vehicle, state="renewed")) == NO_CONSENT
    assert refusal_of(old_text(vehicle, state="expired")) == ""


def test_consent_to_a_text_that_counts_later_is_taken(vehicle):
    new_text(since=timedelta(days=-14))
    assert refusal_of(next_record(vehicle, state="renewed")) == ""
    assert ConsentCurrent.objects.get(vehicle=vehicle).notice_version == 2


def test_the_version_that_was_agreed_to_cannot_be_raised(vehicle):
    new_text()
    assert refusal("UPDATE accounts_consentcurrent SET notice_version = 2") == BROKEN_CHAIN


def test_no_lease_on_consent_to_an_old_text():
    car = factories.make_car()
    assert lease_by_hand(car) == ""
    new_text()
    assert lease_by_hand(car) == NO_CONSENT


def test_a_retired_car_cannot_be_consented_for(alice):
    vehicle = factories.make_vehicle(alice, consent="")
    assert refusal("UPDATE accounts_vehicle SET retired_at = now() WHERE id = %s", vehicle.pk) == ""
    assert refusal_of(next_record(vehicle)) == NO_CONSENT
    assert refusal_of(next_record(vehicle, state="refused")) == ""


def test_a_car_is_not_retired_while_it_has_consents(vehicle):
    assert refusal("UPDATE accounts_vehicle SET retired_at = now() WHERE id = %s", vehicle.pk) == NO_CONSENT
    insert(next_record(vehicle, state="withdrawn"))
    assert refusal("UPDATE accounts_vehicle SET retired_at = now() WHERE id = %s", vehicle.pk) == ""


@pytest.mark.parametrize("column", ["deactivated_at", "erased_at"])
def test_a_closed_account_cannot_consent(alice, vehicle, column):
    assert refusal(f"UPDATE accounts_owner SET {column} = now() WHERE id = %s", alice.pk) == ""
    assert refusal_of(next_record(vehicle)) == NO_CONSENT
    assert refusal_of(next_record(vehicle, state="withdrawn")) == ""


def test_a_personal_purpose_with_a_car_and_the_others_without_one(vehicle):
    assert refusal_of(next_record(vehicle, purpose="product_email")) == BROKEN_CHAIN
    assert refusal_of(next_record(vehicle, signed_vehicle=None) | {"vehicle_id": None}) == BROKEN_CHAIN
    personal = next_record(vehicle, purpose="product_email", signed_vehicle=None) | {"vehicle_id": None}
    assert refusal_of(personal) == ""


def test_nobody_withdraws_at_another_car(alice, vehicle):
    """A withdrawal at a car names that car in the signed bytes."""
    row = next_record(vehicle, state="withdrawn")
    payload_fields = json.loads(row["payload"])
    for entity, expected in (
        ("system", BROKEN_CHAIN),
        (f"vehicle:{NOBODY}", BROKEN_CHAIN),
        (f"vehicle:{vehicle.public_id}", ""),
    ):
        payload_fields["event"] |= {"method": "agent", "entity_id": entity}
        payload = json.dumps(payload_fields).encode()
        row |= {"payload": payload, "method": "agent", "actor_id": None}
        row["hash"] = hashlib.sha256(bytes.fromhex(row["prev_hash"]) + payload).hexdigest()
        assert refusal_of(row) == expected


# --- data that other purposes protect ---------------------------------------------------------------------------------


def test_no_region_without_consent_to_it(vehicle):
    change = "UPDATE accounts_vehicle SET region = 'US-CA' WHERE id = %s"
    assert refusal(change, vehicle.pk) == NO_CONSENT
    insert(next_record(vehicle, purpose="region"))
    assert refusal(change, vehicle.pk) == ""
    insert(next_record(vehicle, purpose="region", state="withdrawn"))
    assert Vehicle.objects.get(pk=vehicle.pk).region == ""
    assert refusal(change, vehicle.pk) == NO_CONSENT


HISTORIES = {
    "availability": "INSERT INTO compute_availabilityspan (node_id, vehicle_id, available, reason) VALUES (%s,"
    " %s, true, '')",
    "reliability": "INSERT INTO compute_healthday (node_id, vehicle_id, day, reports_cool, reports_warm, reports_hot,"
    " units_failed) VALUES (%s, %s, '2026-11-24', 1, 0, 0, 0)",
}


@pytest.mark.parametrize(("purpose", "statement"), HISTORIES.items(), ids=HISTORIES)
def test_no_history_without_consent_to_it(purpose, statement):
    car, other = factories.make_car(), factories.make_car()
    vehicle, table = car.node.vehicle, statement.split()[2]
    assert refusal(statement, car.node.pk, vehicle.pk) == NO_CONSENT
    insert(next_record(vehicle, purpose=purpose))
    assert refusal(statement, other.node.pk, vehicle.pk) == NO_CONSENT  # the node of another car
    assert refusal(statement, car.node.pk, vehicle.pk) == ""
    insert(next_record(vehicle, purpose=purpose, state="withdrawn"))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (0,)
    assert refusal(statement, car.node.pk, vehicle.pk) == NO_CONSENT


def test_no_history_under_an_old_text():
    car = factories.make_car()
    insert(next_record(car.node.vehicle, purpose="availability"))
    new_text("availability")
    assert refusal(HISTORIES["availability"], car.node.pk, car.node.vehicle_id) == NO_CONSENT
