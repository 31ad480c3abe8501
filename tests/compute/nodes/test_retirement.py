"""A lost, sold or replaced computer: its work stops, its key is refused, its records stay, the car can have a new one."""

import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection, transaction

from accounts.models import AuditEvent, ConsentCurrent
from compute import protocol
from compute.dispatch import dispatch, verification
from compute.jobs import results
from compute.link import outbound_messages
from compute.models import Attempt, EnrolmentCode, MeterRecord, Node, NodeEvent
from compute.nodes import nodes
from core.errors import Conflict, ConsentRequired, DomainError, InvalidInput
from tests import factories
from tests.compute.helpers import leased, one_unit, present, trust, until_somebody_waits_for_us, work
from tests.threads import in_threads
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.django_db


@pytest.fixture
def car():
    (car,) = present()
    return car


def retire(car, why="lost"):
    return nodes.retire(node=car.node, why=why, actor=car.node.vehicle.owner.user)


def again(vehicle):
    """Pair a new computer with the vehicle and return its node."""
    key = factories.Ed25519PrivateKey.generate()
    node = factories.pairings.confirm(
        code=factories.make_pairing(key).code, owner=vehicle.owner, vehicle=vehicle, actor=vehicle.owner.user
    )
    return factories.Car(node, key)


def test_work_stops_in_the_same_transaction(car):
    attempt = factories.lease_to(car)
    renewal = protocol.Renewal(attempt=attempt.pk, fence=attempt.fence)
    node = retire(car)
    attempt.refresh_from_db()
    assert (node.status, node.status_code) == ("retired", "lost")
    assert (attempt.status, attempt.status_code) == ("cancelled", "node_retired")
    assert attempt.unit.copies_live == 0
    answer = car.sync(running=(renewal,))
    assert (answer.withheld, answer.share, answer.leases) == ("node_retired", (), ())
    assert [(cancel.attempt, cancel.code) for cancel in answer.cancels] == [(attempt.pk, "node_retired")]
    assert dispatch.dispatch() == 0


def test_the_link_tells_it_why_and_cuts_it_off(car):
    nodes.credentials(node=car.node)
    car.sync(carrier="nats", capacity=1)
    one_unit([car])
    (attempt,) = leased(car)
    retire(car)
    ((subject, data),) = outbound_messages.take_pushes()
    assert subject == protocol.command_subject(car.id)
    assert [cancel.code for cancel in protocol.unpack_push(data).cancels] == ["node_retired"]
    assert len(outbound_messages.revocations()) == 1
    assert attempt.pk


def test_its_credentials_blobs_and_results_are_refused(car):
    attempt = factories.lease_to(car)
    retire(car)
    node = Node.objects.get(pk=car.node.pk)
    for ask in (nodes.credentials, nodes.require_consent):
        with pytest.raises(ConsentRequired):
            ask(node=node)
    with pytest.raises(Conflict) as caught:
        results.live_attempt(node=node, attempt_id=attempt.pk, fence=attempt.fence)
    assert caught.value.code == "stale_fence"


def test_what_it_signs_afterwards_is_not_even_kept(car):
    attempt = factories.lease_to(car)
    retire(car)
    before = Node.objects.get(pk=car.node.pk).agent_version
    answer = car.sync(reports=(car.report(attempt),), hardware=factories.HARDWARE, agent_version="thief")
    assert [(ack.status, ack.code) for ack in answer.acks] == [("refused", "node_retired")]
    assert not MeterRecord.objects.exists()
    assert Node.objects.get(pk=car.node.pk).agent_version == before


def test_its_records_can_still_be_verified_with_its_key_and_its_work_is_still_paid(car, unreplicated):
    trust([car])
    factories.lease_to(car)
    assert [ack.status for ack in work(car)] == ["accepted"]
    retire(car, "replaced")
    assert verification.verify() == 1
    record = MeterRecord.objects.select_related("node").get()
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(record.node.public_key))
    key.verify(bytes(record.signature), protocol.signed_bytes(bytes(record.record)))
    assert Attempt.objects.get().status == "valid"


def test_retiring_again_changes_nothing(car):
    retire(car)
    retire(car, "sold")
    assert Node.objects.get(pk=car.node.pk).status_code == "lost"
    assert AuditEvent.objects.filter(action="node.retire").count() == 1
    assert list(NodeEvent.objects.filter(to_status="retired").values_list("reason", flat=True)) == ["lost"]


def test_one_must_say_what_became_of_it(car):
    with pytest.raises(InvalidInput):
        retire(car, "")
    assert Node.objects.get(pk=car.node.pk).status == "active"


def test_a_suspended_node_can_be_taken_out_too(car):
    Node.objects.filter(pk=car.node.pk).update(status="suspended")
    assert retire(car).status == "retired"


def test_enrolment_codes_are_void(car):
    code = EnrolmentCode.objects.get()
    EnrolmentCode.objects.filter(pk=code.pk).update(used_at=None)
    retire(car)
    with pytest.raises(DomainError) as caught:
        nodes.enrol(request=factories.enrolment("AAAA-AAAA-AAAA", "ab" * 32))
    assert caught.value.code == "code_invalid"
    code.refresh_from_db()
    assert code.expires_at <= Node.objects.get(pk=car.node.pk).link_revoked_at


def test_the_next_computer_works_under_the_same_consent_and_without_trust(car):
    trust([car])
    retire(car)
    assert ConsentCurrent.objects.get(vehicle=car.node.vehicle).is_in_force
    next_car = again(car.node.vehicle)
    assert next_car.node.valid_streak == 0
    attempt = factories.lease_to(next_car)
    (lease,) = next_car.sync().leases
    assert lease.attempt == attempt.pk
    assert [ack.status for ack in work(next_car)] == ["accepted"]
    assert car.sync().withheld == "node_retired"


def test_a_withdrawal_ends_the_work_of_the_computer_that_is_there(car):
    retire(car)
    next_car = again(car.node.vehicle)
    attempt = factories.lease_to(next_car)
    factories.decide(car.node.vehicle, "withdrawn")
    attempt.refresh_from_db()
    assert (attempt.status, attempt.status_code) == ("cancelled", "consent_withdrawn")
    assert [c.code for c in next_car.sync().cancels] == ["consent_withdrawn"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unhurried")
def test_retiring_waits_for_a_dispatch_that_is_leasing_and_then_cancels_what_it_leased():
    (car,) = present()
    factories.make_job(items=4, unit_items=4)
    leasing = threading.Event()

    def dispatching():
        with transaction.atomic():
            assert dispatch.dispatch() == 1
            leasing.set()
            until_somebody_waits_for_us()

    def taking_out():
        assert leasing.wait(PATIENCE_S)
        retire(car)

    assert not [r for r in in_threads(dispatching, taking_out) if isinstance(r, Exception)]
    assert set(Attempt.objects.values_list("status", "status_code")) == {("cancelled", "node_retired")}
    assert connection.is_usable()
