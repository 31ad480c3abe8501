"""`POST /api/node/v1/pairings` as an agent sends it, and every endpoint that refuses a retired node."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client

from compute import protocol
from compute.models import Node, Pairing
from compute.nodes import nodes, pairings
from tests import factories

pytestmark = pytest.mark.django_db
PAIRINGS = "/api/node/v1/pairings"


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def vehicle():
    return factories.make_vehicle(consent="")


def send(method, path, key, keyid, body=b"", **headers):
    request = factories.signed_request(key, keyid, method, path, body=body, **headers)
    return Client(raise_request_exception=False).generic(**request)


def ask(key, *, public="", keyid="", **hardware):
    public = public or key.public_key().public_bytes_raw().hex()
    body = protocol.pack(factories.pairing_request(public, **hardware))
    return send("POST", PAIRINGS, key, keyid or public, body)


def read(answer):
    assert answer.status_code == 200, answer.content
    return msgspec.msgpack.decode(answer.content, type=protocol.Pairable)


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_asking_gives_a_code_and_the_address_where_it_is_confirmed(key):
    answer = ask(key)
    pairable = read(answer)
    assert answer["Content-Type"] == protocol.CONTENT_TYPE
    assert pairable.url == f"http://testserver/pair/{pairable.code}"
    assert pairable.enrolled is None
    assert 14 * 60_000 < pairable.expires_in_ms <= 15 * 60_000
    assert pairable.poll_ms > 0
    assert read(ask(key)).code == pairable.code, "asking again is polling"


def test_once_confirmed_the_answer_is_that_of_an_enrolment(key, vehicle):
    text = read(ask(key)).code
    node = pairings.confirm(code=text, owner=vehicle.owner, vehicle=vehicle, actor=vehicle.owner.user)
    enrolled = read(ask(key)).enrolled
    assert (enrolled.node, enrolled.hardware_class) == (str(node.public_id), node.hardware_class.slug)
    assert enrolled.policy == nodes.policy_of(vehicle.pk)
    assert read(ask(key)).enrolled == enrolled, "as often as the answer gets lost"


def test_the_key_must_be_held_not_just_known(key):
    victim = Ed25519PrivateKey.generate()
    public = victim.public_key().public_bytes_raw().hex()
    assert code(ask(key, public=public)) == (401, "signature_invalid")
    assert code(ask(key, keyid=public)) == (401, "key_unknown")
    assert not Pairing.objects.exists()


@pytest.mark.parametrize("public", ["zz", "0" * 62, "A" * 64, "\u0661" * 64])
def test_a_key_that_is_none(key, public):
    assert ask(key, public=public, keyid="x").status_code == 400


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x91" * 5000, msgspec.msgpack.encode({"public_key": 7})], ids=range(4)
)
def test_a_malformed_request(key, body):
    assert code(send("POST", PAIRINGS, key, "x", body)) == (400, "malformed")


@pytest.mark.parametrize("hardware", [{"machine": "x\x00"}, {"cores": 2**20}, {"layers": ("a b",)}], ids=str)
def test_absurd_hardware(key, hardware):
    assert code(ask(key, **hardware)) == (400, "malformed")


def test_a_replayed_request_is_refused(key):
    public = key.public_key().public_bytes_raw().hex()
    request = factories.signed_request(
        key, public, "POST", PAIRINGS, body=protocol.pack(factories.pairing_request(public))
    )
    assert Client().generic(**request).status_code == 200
    assert code(Client().generic(**request)) == (401, "replayed")


def test_too_many_keys_from_one_address(key, monkeypatch):
    monkeypatch.setattr(pairings, "NEWCOMERS", 0)
    assert code(ask(key)) == (429, "too_many_tries")


# --- a retired node
# -----------------------------------------------------------------------------------------------------


def test_every_door_is_closed_to_a_retired_node():
    car = factories.make_car()
    factories.lease_to(car)
    (lease,) = car.sync().leases
    nodes.retire(node=car.node, why="lost", actor=None)
    car.seq += 1
    sync = protocol.SyncRequest(node=car.id, seq=car.seq, available=True, capacity=2, hardware=factories.HARDWARE)
    heard = protocol.unpack_response(send("POST", "/api/node/v1/sync", car.key, car.id, protocol.pack(sync)).content)
    assert (heard.withheld, heard.leases, heard.share, heard.error) == ("node_retired", (), (), "")
    assert code(send("POST", "/api/node/v1/credentials", car.key, car.id)) == (403, "consent_required")
    grant = {protocol.GRANT_HEADER.replace("-", "_"): lease.grant}
    assert send("GET", f"/api/node/v1/blobs/{lease.input_sha256}", car.key, car.id, **grant).status_code == 403
    fence = {protocol.FENCE_HEADER.replace("-", "_"): str(lease.fence)}
    path = f"/api/node/v1/attempts/{lease.attempt}/result"
    assert code(send("PUT", path, car.key, car.id, factories.ramp(lease), **fence)) == (409, "stale_fence")
    assert code(ask(car.key)) == (409, "key_in_use")
    text, _ = nodes.create_enrolment_code(vehicle=car.node.vehicle, actor=None)
    body = protocol.pack(factories.enrolment(text, car.node.public_key))
    assert code(send("POST", "/api/node/v1/enrol", car.key, car.node.public_key, body)) == (409, "key_in_use")
    assert Node.objects.get().status == "retired"
