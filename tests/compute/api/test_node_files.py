"""Files of agents over HTTPS: download of models and inputs with a grant, signed upload of large results."""

import hashlib
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core import signing
from django.test import Client
from django.utils import timezone

from compute import blobs, protocol
from compute.dispatch import leases
from compute.models import Attempt
from tests import factories
from tests.compute.api.test_node import code, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def car():
    return factories.make_car()


# --- blobs
# --------------------------------------------------------------------------------------------------------------


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


# --- results
# ------------------------------------------------------------------------------------------------------------


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
    """Otherwise anybody could fill the disk."""
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
