"""`/api/node/v1/`: what agents call, signed as the agent signs, and refused in every way that a request can be wrong."""

import hashlib
from datetime import timedelta
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core import signing
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from compute import blobs, protocol
from compute.models import Attempt, Node, NodePresence
from compute.services import leases, nodes
from tests import factories

pytestmark = pytest.mark.django_db
SYNC, CREDENTIALS, ENROL = "/api/node/v1/sync", "/api/node/v1/credentials", "/api/node/v1/enrol"


@pytest.fixture
def car():
    return factories.make_car()


def send(car, method, path, body=b"", **options):
    """One signed request; `key` and `keyid` are the car's own unless told otherwise."""
    key, keyid = options.pop("key", car.key), options.pop("keyid", car.id)
    return replay(factories.signed_request(key, keyid, method, path, body=body, **options))


def replay(request):
    return Client(raise_request_exception=False).generic(**request)


def sync_body(car, seq=1, **fields):
    values = {"node": car.id, "seq": seq, "available": True, "capacity": 2, "policy_version": 1, **fields}
    return protocol.pack(protocol.SyncRequest(**values))


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


# --- the signature ------------------------------------------------------------------------------------------------------


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


def test_should_redis_forget_the_nonce_the_sequence_still_refuses(car):
    request = factories.signed_request(car.key, car.id, "POST", SYNC, body=sync_body(car))
    replay(request)
    cache.clear()
    answer = replay(request)
    assert protocol.unpack_response(answer.content).error == "replayed"


def test_two_nodes_may_use_the_same_nonce(car):
    other = factories.make_car()
    with patch("compute.agent.signing.secrets.token_urlsafe", return_value="n" * 24):
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
    with patch("compute.agent.signing.datetime") as clock:
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


# --- sync ---------------------------------------------------------------------------------------------------------------


def test_a_node_speaks_for_itself_only(car):
    other = factories.make_car()
    assert code(send(car, "POST", SYNC, sync_body(other))) == (400, "foreign_node")
    assert NodePresence.objects.get(node=other.node).seq == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"not msgpack", b"\x80", msgspec.msgpack.encode([1, 2]), msgspec.msgpack.encode({"node": 7}),
     b"\xdf\xff\xff\xff\xff", b"\x91" * 5000, sync_body(factories.Car(Node(), None))[:-3]],
    ids=range(9),
)  # fmt: skip
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


# --- enrolment ----------------------------------------------------------------------------------------------------------


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
    """Else one key could be two nodes."""
    key = Ed25519PrivateKey.generate()
    public = write(key.public_key().public_bytes_raw().hex())
    assert code(enrol(code_of, key=key, public=public)) == (400, "malformed")


@pytest.mark.parametrize(
    "hardware", [{"machine": "x\x00"}, {"cores": 2**20}, {"cores": -1}, {"layers": ("\x00",)}], ids=str
)
@pytest.mark.xfail(
    strict=True, reason="500: values that PostgreSQL cannot keep reach SQL (compute/services/nodes.py enrol)"
)
def test_absurd_hardware_is_no_crash(code_of, hardware):
    assert enrol(code_of, **hardware).status_code == 400


# --- credentials --------------------------------------------------------------------------------------------------------


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


# --- blobs --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lease(car):
    factories.lease_to(car)
    (lease,) = car.sync().leases
    return lease


def get_blob(car, sha256, grant):
    headers = {"Driveway_Grant": grant} if grant is not None else {}
    return send(car, "GET", f"/api/node/v1/blobs/{sha256}", **headers)


def test_the_input_of_a_lease(car, lease):
    answer = get_blob(car, lease.input_sha256, lease.grant)
    data = factories.body_of(answer)
    assert hashlib.sha256(data).hexdigest() == lease.input_sha256
    assert answer["Content-Length"] == str(lease.input_bytes) == str(len(data))


@pytest.mark.parametrize("grant", [None, "", "x", "a:b:c"])
def test_no_blob_without_a_grant(car, lease, grant):
    assert code(get_blob(car, lease.input_sha256, grant)) == (403, "grant_invalid")


def test_no_blob_that_the_grant_does_not_name(car, lease):
    other = blobs.put_bytes(b"another customer's model").sha256
    assert code(get_blob(car, other, lease.grant)) == (403, "grant_invalid")
    assert code(get_blob(car, lease.input_sha256.upper(), lease.grant)) == (403, "grant_invalid")


def test_no_blob_with_the_grant_of_another_node(car, lease):
    assert code(get_blob(factories.make_car(), lease.input_sha256, lease.grant)) == (403, "grant_invalid")


def test_no_blob_with_an_old_grant(car, lease):
    with patch("django.core.signing.time.time", return_value=timezone.now().timestamp() + leases.GRANT_MAX_AGE_S + 1):
        answer = get_blob(car, lease.input_sha256, lease.grant)
    assert code(answer) == (403, "grant_invalid")


def test_no_blob_with_a_grant_made_for_something_else(car, lease):
    forged = signing.dumps([car.id, lease.input_sha256], salt="another.salt")
    assert code(get_blob(car, lease.input_sha256, forged)) == (403, "grant_invalid")


@pytest.mark.parametrize("path", ["x", "..%2f..%2fsecrets.json", "0" * 63, "0" * 64])
def test_a_blob_that_there_is_not(car, path):
    grant = signing.dumps([car.id, path.replace("%2f", "/")], salt=leases.GRANT_SALT)
    assert get_blob(car, path, grant).status_code in (400, 404)


# --- results ------------------------------------------------------------------------------------------------------------


def put(car, attempt, data, fence, **options):
    return send(car, "PUT", f"/api/node/v1/attempts/{attempt}/result", data, Driveway_Fence=str(fence), **options)


@pytest.fixture
def data(lease):
    return factories.ramp(lease)


def kept(data):
    return blobs.exists(hashlib.sha256(data).hexdigest())


def test_a_result_is_bound_to_its_attempt(car, lease, data):
    answer = put(car, lease.attempt, data, lease.fence)
    digest = hashlib.sha256(data).hexdigest()
    assert (answer.status_code, answer.json()) == (201, {"sha256": digest})
    assert Attempt.objects.get(pk=lease.attempt).result_sha256 == digest
    assert blobs.read(digest) == data
    assert put(car, lease.attempt, data, lease.fence).status_code == 201
    report = car.report(lease, result=data)
    large = msgspec.structs.replace(report, result=b"")
    assert [ack.status for ack in car.sync(reports=(large,)).acks] == ["accepted"]


@pytest.mark.parametrize("fence", [0, 2, -1, "", "x", "1.0", "\u00b2", "9" * 30, "9" * 5000])
def test_a_stale_or_strange_fence(car, lease, data, fence):
    assert code(put(car, lease.attempt, data, fence)) == (409, "stale_fence")


def test_after_the_lease_is_gone(car, lease, data):
    factories.decide(car.node.vehicle, "withdrawn")
    assert code(put(car, lease.attempt, data, lease.fence)) == (409, "stale_fence")


def test_a_result_for_another_nodes_attempt(lease, data):
    assert code(put(factories.make_car(), lease.attempt, data, lease.fence)) == (404, "not_found")


@pytest.mark.parametrize("attempt", [0, 2**63 - 1, 2**63, 10**30])
def test_a_result_for_no_attempt(car, data, attempt):
    assert code(put(car, attempt, data, 1)) == (404, "not_found")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "result_unreadable"),
        (b"noise", "result_unreadable"),
        (safetensors.numpy.save({"z": np.zeros((4, 2), np.float32)}), "result_shape"),
        (safetensors.numpy.save({"y": np.zeros((3, 2), np.float32)}), "result_shape"),
        (safetensors.numpy.save({"y": np.zeros((4, 2), np.float64)}), "result_shape"),
    ],
    ids=["empty", "noise", "name", "rows", "type"],
)
def test_a_result_of_another_shape(car, lease, data, expected):
    assert code(put(car, lease.attempt, data, lease.fence)) == (400, expected)
    assert Attempt.objects.get(pk=lease.attempt).result_sha256 == ""


def test_a_result_that_is_too_large(car, lease, data, settings):
    settings.RESULT_MAX_BYTES = len(data) - 1
    assert code(put(car, lease.attempt, data, lease.fence)) == (413, "too_large")
    assert not kept(data)


def test_what_nobody_signed_is_not_kept(car, lease, data):
    """Else anybody could fill the disk."""
    path = f"/api/node/v1/attempts/{lease.attempt}/result"
    answer = Client().put(path, data, content_type=protocol.CONTENT_TYPE)
    assert code(answer) == (401, "signature_missing")
    assert not kept(data)
    assert code(put(car, lease.attempt, data, lease.fence, key=Ed25519PrivateKey.generate())) == (
        401,
        "signature_invalid",
    )
    assert not kept(data)
    assert code(put(car, lease.attempt, data, lease.fence, signed_body=b"other")) == (401, "digest_mismatch")
    assert not kept(data)
