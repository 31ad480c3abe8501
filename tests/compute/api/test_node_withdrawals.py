"""Withdrawal by the person at the car: signed by the node, accepted unless the node is retired, recorded once."""

import json

import msgspec
import pytest
from django.test import Client

from accounts.models import ConsentCurrent, ConsentRecord, Mail
from accounts.receipts import service as receipts
from accounts.receipts.verification import verify
from compute import protocol
from compute.models import Attempt, Node
from compute.nodes import nodes
from tests import factories

pytestmark = pytest.mark.django_db
PATH = "/api/node/v1/withdrawals"


@pytest.fixture
def car():
    return factories.make_car()


def ask(car, message=None, **signed):
    body = message if isinstance(message, bytes) else protocol.pack(message or protocol.Withdrawal())
    request = factories.signed_request(signed.get("key", car.key), car.id, "POST", PATH, body=body)
    return Client().generic(**request)


def answer(response):
    assert response.status_code == 200, response.content
    return msgspec.msgpack.decode(response.content, type=protocol.Withdrawn)


def code(response):
    return response.status_code, response.json()["error"]["code"]


def test_withdrawing_at_the_car_stops_it_and_tells_the_owner(car):
    vehicle = car.node.vehicle
    attempt = factories.lease_to(car)
    said = answer(ask(car))
    record = ConsentRecord.objects.get(state="withdrawn")
    assert (said.record, said.state) == (str(record.public_id), "withdrawn")
    assert (record.method, record.actor, record.vehicle) == ("agent", None, vehicle)
    assert json.loads(bytes(record.payload))["event"]["entity_id"] == f"vehicle:{vehicle.public_id}"
    assert Attempt.objects.get(pk=attempt.pk).status_code == "consent_withdrawn"
    assert car.sync().withheld == "consent_withdrawn"
    assert verify(receipts.receipt_text(record).encode(), receipts.key_ring()).is_valid
    mail = Mail.objects.get(kind="consent-withdrawn-in-car")
    assert (mail.user, mail.kind) == (vehicle.owner.user, "consent-withdrawn-in-car")
    assert mail.context["receipt_id"] == said.record


def test_again_answers_the_same_and_writes_nothing(car):
    first, second = answer(ask(car)), answer(ask(car))
    assert first == second
    assert ConsentRecord.objects.filter(state="withdrawn").count() == 1
    assert Mail.objects.filter(kind="consent-withdrawn-in-car").count() == 1


@pytest.mark.parametrize("decision", ["", "refused"])
def test_without_consent_there_is_nothing_to_withdraw(decision):
    car = factories.make_car(consent=decision)
    said = answer(ask(car))
    assert said == protocol.Withdrawn(record="", state=decision or "none")
    assert not Mail.objects.filter(kind="consent-withdrawn-in-car").exists()


def test_a_suspended_node_may_still_withdraw(car):
    Node.objects.filter(pk=car.node.pk).update(status="suspended")
    assert answer(ask(car)).state == "withdrawn"
    assert not ConsentCurrent.objects.get(vehicle=car.node.vehicle).is_in_force


def test_a_computer_that_was_taken_out_speaks_for_nobody(car):
    """Others may have its key."""
    nodes.retire(node=car.node, why="lost", actor=None)
    response = ask(car)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "node_retired")
    assert ConsentCurrent.objects.get(vehicle=car.node.vehicle).is_in_force


def test_another_purpose_leaves_the_first_alone(car):
    factories.decide(car.node.vehicle, "given", "availability")
    assert answer(ask(car, protocol.Withdrawal(purpose="availability"))).state == "withdrawn"
    assert ConsentCurrent.objects.get(vehicle=car.node.vehicle, purpose="run_jobs").is_in_force


@pytest.mark.parametrize("purpose", ["product_email", "sell_my_data", "", "run_jobs\0"])
def test_a_car_speaks_for_its_own_purposes_only(car, purpose):
    assert code(ask(car, protocol.Withdrawal(purpose=purpose))) == (400, "purpose_unknown")


def test_nobody_else_withdraws_for_a_car(car):
    other = factories.make_car()
    assert code(ask(car, key=other.key)) == (401, "signature_invalid")
    assert answer(ask(other)).state == "withdrawn"
    assert ConsentCurrent.objects.get(vehicle=car.node.vehicle).is_in_force


def test_what_is_no_withdrawal(car):
    assert code(ask(car, b"\xc1")) == (400, "malformed")
    assert code(ask(car, msgspec.msgpack.encode({"purpose": 7}))) == (400, "malformed")
    assert code(ask(car, protocol.Withdrawal(version=2))) == (400, "unsupported_version")
    assert Client().get(PATH).status_code == 405
    assert ConsentCurrent.objects.get(vehicle=car.node.vehicle).is_in_force
