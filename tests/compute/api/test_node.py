"""`/api/node/v1/`: requests signed as the agent signs them, and the refusal of every kind of invalid request."""

from datetime import timedelta
from unittest.mock import patch

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from django.utils import timezone

from compute import protocol
from compute.models import Node, NodePresence
from compute.nodes import nodes
from tests import factories

pytestmark = pytest.mark.django_db
SYNC, CREDENTIALS, ENROL = "/api/node/v1/sync", "/api/node/v1/credentials", "/api/node/v1/enrol"


@pytest.fixture
def car():
    return factories.make_car()


def send(car, method, path, body=b"", **options):
    """Send one signed request. `key` and `keyid` are by default those of the car."""
    key, keyid = options.pop("key", car.key), options.pop("keyid", car.id)
    return replay(factories.signed_request(key, keyid, method, path, body=body, **options))


def replay(request):
    return Client(raise_request_exception=False).generic(**request)


def sync_body(car, seq=1, **fields):
    values = {"node": car.id, "seq": seq, "available": True, "capacity": 2, "policy_version": 1, **fields}
    return protocol.pack(protocol.SyncRequest(**values))


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


# --- the signature
# ------------------------------------------------------------------------------------------------------


def test_a_signed_sync_is_answered(car):
    answer = send(car, "POST", SYNC, sync_body(car))
    assert (answer.status_code, answer["Content-Type"]) == (200, protocol.CONTENT_TYPE)
    response = protocol.unpack_response(answer.content)
    assert (response.seq, response.error, response.withheld) == (1, "", "")
    assert NodePresence.objects.get(node=car.node).carrier == "https"


def test_a_request_received_before_is_refused(car):
    request = factories.signed_request(car.key, car.id, "POST", SYNC, body=sync_body(car))
    assert replay(request).status_code == 200
    assert code(replay(request)) == (401, "replayed")


def test_should_redis_forget_the_nonce_the_sequence_still_refuses(car, settings):
    request = factories.signed_request(car.key, car.id, "POST", SYNC, body=sync_body(car))
    replay(request)
    # Not cache.clear(): it runs FLUSHDB, which would also delete the keys of other test workers.
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_PREFIX": f"forgetful-{car.id}"}}
    answer = replay(request)
    assert protocol.unpack_response(answer.content).error == "replayed"


def test_without_redis_nodes_are_still_heard(car, settings):
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    request = factories.signed_request(car.key, car.id, "POST", SYNC, body=sync_body(car))
    assert replay(request).status_code == 200
    assert protocol.unpack_response(replay(request).content).error == "replayed"


def test_two_nodes_may_use_the_same_nonce(car):
    other = factories.make_car()
    with patch("compute.agent.carriers.signing.secrets.token_urlsafe", return_value="n" * 24):
        assert send(car, "POST", SYNC, sync_body(car)).status_code == 200
        assert send(other, "POST", SYNC, sync_body(other)).status_code == 200


def test_a_body_other_than_the_signed_one(car):
    answer = send(car, "POST", SYNC, sync_body(car), signed_body=sync_body(car, seq=2))
    assert code(answer) == (401, "digest_mismatch")
    assert NodePresence.objects.get(node=car.node).seq == 0


def test_a_signature_for_another_path_method_or_query(car):
    request = factories.signed_request(car.key, car.id, "POST", SYNC, body=sync_body(car))
    for change in ({"path": CREDENTIALS}, {"path": f"{SYNC}?a=1"}):
        assert code(replay(request | change)) == (401, "signature_invalid")


def test_a_signature_by_another_key(car):
    stranger = Ed25519PrivateKey.generate()
    assert code(send(car, "POST", SYNC, sync_body(car), key=stranger)) == (401, "signature_invalid")


@pytest.mark.parametrize("keyid", ["00000000-0000-0000-0000-000000000001", "x", "1", "' OR 1=1 --"])
def test_an_unknown_node(car, keyid):
    assert code(send(car, "POST", SYNC, sync_body(car), keyid=keyid)) == (401, "key_unknown")


def test_a_request_signed_too_long_ago(car):
    with patch("compute.agent.carriers.signing.datetime") as clock:
        clock.now.return_value = timezone.now() - timedelta(seconds=protocol.SIGNATURE_MAX_AGE_S + 1)
        assert code(send(car, "POST", SYNC, sync_body(car))) == (401, "signature_expired")


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest"])
def test_every_header_is_needed(car, name):
    request = factories.signed_request(car.key, car.id, "POST", SYNC, body=sync_body(car))
    del request["headers"][name]
    assert code(replay(request)) == (401, "signature_missing")


def test_a_session_or_an_api_key_is_no_signature(car):
    client = Client(headers={"Authorization": f"Bearer {factories.make_key(factories.make_organization())[1]}"})
    client.force_login(car.node.vehicle.owner.user)
    assert code(client.post(SYNC, sync_body(car), content_type=protocol.CONTENT_TYPE)) == (401, "signature_missing")


# --- sync
# ---------------------------------------------------------------------------------------------------------------


def test_a_node_speaks_for_itself_only(car):
    other = factories.make_car()
    assert code(send(car, "POST", SYNC, sync_body(other))) == (400, "foreign_node")
    assert NodePresence.objects.get(node=other.node).seq == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"not msgpack",
        b"\x80",
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode({"node": 7}),
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 5000,
        sync_body(factories.Car(Node(), None))[:-3],
    ],
    ids=range(9),
)
def test_a_malformed_sync(car, body):
    assert code(send(car, "POST", SYNC, body)) == (400, "malformed")


def test_a_sync_of_another_version(car):
    answer = send(car, "POST", SYNC, sync_body(car, version=99))
    assert protocol.unpack_response(answer.content).error == "unsupported_version"


HOSTILE = {
    "NUL in the reason": {"available": False, "reason": "a\x00b"},
    "seq beyond bigint": {"seq": 2**63},
    "negative seq": {"seq": -(2**63)},
    "huge capacity": {"capacity": 2**62},
    "negative capacity": {"capacity": -5},
    "policy beyond int": {"policy_version": 2**40},
    "attempt beyond bigint": {"running": (protocol.Renewal(attempt=2**63, fence=1),)},
    "fence beyond int": {"running": (protocol.Renewal(attempt=1, fence=2**40),)},
    "NUL in the hardware": {"hardware": msgspec.structs.replace(factories.HARDWARE, machine="x\x00")},
    "NUL in the layers": {"hardware": msgspec.structs.replace(factories.HARDWARE, layers=("x\x00",))},
    "cores beyond smallint": {"hardware": msgspec.structs.replace(factories.HARDWARE, cores=2**20)},
    "long words": {"reason": "x" * 10_000, "agent_version": "x" * 10_000, "hardware": factories.HARDWARE},
    "report beyond bigint": {
        "reports": (protocol.Report(attempt=2**63, fence=1, outcome="ok", record=b"{}", signature=b""),)
    },
    "noise as a record": {
        "reports": (protocol.Report(attempt=1, fence=1, outcome="ok", record=b"\x00", signature=b"x"),)
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_absurd_sync_is_no_crash(car, name):
    answer = send(car, "POST", SYNC, sync_body(car, **HOSTILE[name]))
    assert answer.status_code in (200, 400)


# --- enrolment
# ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def code_of():
    vehicle = factories.make_vehicle(consent="")
    text, _ = nodes.create_enrolment_code(vehicle=vehicle, actor=None)
    return text


def enrol(text, *, key=None, public=None, keyid=None, **hardware):
    key = key or Ed25519PrivateKey.generate()
    public = public or key.public_key().public_bytes_raw().hex()
    body = protocol.pack(factories.enrolment(text, public, **hardware))
    return replay(factories.signed_request(key, keyid or public, "POST", ENROL, body=body))


def test_enrolling(code_of):
    answer = enrol(code_of)
    enrolled = msgspec.msgpack.decode(answer.content, type=protocol.Enrolled)
    node = Node.objects.get()
    assert enrolled.node == str(node.public_id)
    assert enrolled.hardware_class == node.hardware_class.slug
    assert enrolled.policy == nodes.policy_of(node.vehicle_id)
    assert enrolled.poll_ms > 0


def test_an_answer_that_was_lost_can_be_asked_for_again(code_of):
    key = Ed25519PrivateKey.generate()
    assert enrol(code_of, key=key).content == enrol(code_of, key=key).content
    assert Node.objects.count() == 1


def test_the_key_must_be_held_not_just_known(code_of, car):
    mine = Ed25519PrivateKey.generate()
    assert code(enrol(code_of, key=mine, public=car.node.public_key)) == (401, "signature_invalid")
    answer = enrol(code_of, key=mine, keyid=car.node.public_key)
    assert code(answer) == (401, "key_unknown")
    assert Node.objects.count() == 1


@pytest.mark.parametrize("text", ["", "AAAA-AAAA-AAAA", "x" * 10_000, "\x00"])
def test_a_wrong_code(text):
    assert code(enrol(text)) == (400, "code_invalid")


@pytest.mark.parametrize("public", ["", "zz", "00", "0" * 62, "0" * 66, "\u0661" * 64])
def test_a_key_that_is_none(code_of, public):
    body = protocol.pack(factories.enrolment(code_of, public))
    answer = replay(factories.signed_request(Ed25519PrivateKey.generate(), "x", "POST", ENROL, body=body))
    assert answer.status_code in (400, 401)
    assert not Node.objects.exists()


@pytest.mark.parametrize("write", [str.upper, lambda text: f"{text[:2]} {text[2:]}"], ids=["upper case", "a space"])
def test_a_key_has_one_spelling(code_of, write):
    """Otherwise one key could become two nodes."""
    key = Ed25519PrivateKey.generate()
    public = write(key.public_key().public_bytes_raw().hex())
    assert code(enrol(code_of, key=key, public=public)) == (400, "malformed")


@pytest.mark.parametrize(
    "hardware", [{"machine": "x\x00"}, {"cores": 2**20}, {"cores": -1}, {"layers": ("\x00",)}], ids=str
)
def test_absurd_hardware_is_no_crash(code_of, hardware):
    assert enrol(code_of, **hardware).status_code == 400


# --- credentials
# --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consent", ["", "refused"])
def test_no_credentials_without_consent(consent):
    assert code(send(car := factories.make_car(consent=consent), "POST", CREDENTIALS)) == (403, "consent_required")
    assert Node.objects.get(pk=car.node.pk).link_expires_at is None


def test_credentials_with_consent_until_it_is_withdrawn(car):
    answer = send(car, "POST", CREDENTIALS)
    credentials = msgspec.msgpack.decode(answer.content, type=protocol.Credentials)
    assert credentials.jwt.count(".") == 2
    assert credentials.expires_unix_ms > timezone.now().timestamp() * 1000
    factories.decide(car.node.vehicle, "withdrawn")
    assert code(send(car, "POST", CREDENTIALS)) == (403, "consent_required")


@pytest.mark.parametrize("status", ["suspended", "retired"])
def test_no_credentials_for_a_node_that_is_not_active(car, status):
    Node.objects.filter(pk=car.node.pk).update(status=status)
    assert code(send(car, "POST", CREDENTIALS)) == (403, "consent_required")


def test_without_nats_the_fallback_is_named(car, settings):
    settings.NATS_URL = ""
    assert code(send(car, "POST", CREDENTIALS)) == (503, "link_unavailable")
