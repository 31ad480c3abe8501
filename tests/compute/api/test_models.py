"""`/api/v1/models`: uploading, reading and listing models."""

import hashlib
import uuid

import pytest

from compute import blobs
from compute.models import ModelArtifact
from core import workers
from tests import factories

pytestmark = pytest.mark.django_db
BINARY = "application/octet-stream"
SEND = workers._send
ONNX = b"pretend that this is a model"


@pytest.fixture
def acme():
    return factories.make_organization("acme@example.com")


@pytest.fixture
def client(acme, api):
    return api(factories.make_key(acme)[1])


def upload(client, data=ONNX, name="model", content_type=BINARY):
    return client.post(f"/api/v1/models?name={name}", data, content_type=content_type)


def test_an_upload_is_stored_by_its_digest_and_waits_for_admission(
    acme, client, sent_tasks, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        answer = upload(client, name="Classifier")
    body = answer.json()
    digest = hashlib.sha256(ONNX).hexdigest()
    assert answer.status_code == 201
    assert (body["name"], body["sha256"], body["size_bytes"], body["status"]) == (
        "Classifier",
        digest,
        len(ONNX),
        "uploaded",
    )
    assert (body["code"], body["message"], body["inputs"], body["outputs"]) == ("", "", [], [])
    assert blobs.read(digest) == ONNX
    assert ModelArtifact.objects.get().organization == acme
    assert sent_tasks == ["compute.admit_models"]


def test_without_redis_an_upload_is_accepted_and_waits_for_the_beat(
    client, settings, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(workers, "_send", SEND)  # the original function, which a fixture has replaced
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    with django_capture_on_commit_callbacks(execute=True):
        assert upload(client).status_code == 201


def test_the_same_bytes_again_are_the_same_model(client):
    first, second = upload(client, name="a"), upload(client, name="b")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


def test_the_same_bytes_of_another_customer_are_another_model(client, api):
    globex = api(factories.make_key(factories.make_organization())[1])
    first, second = upload(client), upload(globex)
    assert second.status_code == 201
    assert first.json()["id"] != second.json()["id"]
    assert globex.get(f"/api/v1/models/{first.json()['id']}").status_code == 404


def test_an_empty_upload(client):
    answer = upload(client, b"")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "empty_upload")


def test_a_model_that_is_too_large(client, settings):
    settings.MODEL_MAX_BYTES = 10
    answer = upload(client, b"x" * 11)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert answer.json()["error"]["fields"] == {"limit_bytes": 10}
    assert not [path for path in settings.BLOB_ROOT.rglob("*") if path.is_file()]
    assert upload(client, b"x" * 10).status_code == 201


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("", "model"),
        ("%20%20", "model"),
        ("x" * 100, "x" * 80),
        ("%3Cb%3E", "<b>"),
        ("M%C3%BCller", "Müller"),
        ("%00", "model"),
        ("a%00b", "ab"),
        ("a%0Ab", "ab"),
    ],
)
def test_names_are_for_people(client, name, kept):
    assert upload(client, name=name).json()["name"] == kept


@pytest.mark.parametrize(
    "content_type", [BINARY, "text/plain", "application/json", "application/x-www-form-urlencoded", "x/y"]
)
def test_any_content_type_is_just_bytes(client, content_type):
    assert upload(client, content_type=content_type).json()["sha256"] == hashlib.sha256(ONNX).hexdigest()


def test_looking_at_one(acme, client):
    artifact = factories.make_artifact(acme)
    body = client.get(f"/api/v1/models/{artifact.public_id}").json()
    assert body["id"] == str(artifact.public_id)
    assert body["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 4]}]
    assert (body["us_per_item"], body["memory_bytes"]) == (1000, 1_000_000)


def test_why_a_model_was_refused(acme, client):
    artifact = factories.make_artifact(
        acme, status="refused", status_code="external_data", message="External data is not allowed."
    )
    body = client.get(f"/api/v1/models/{artifact.public_id}").json()
    assert (body["status"], body["code"], body["message"]) == (
        "refused",
        "external_data",
        "External data is not allowed.",
    )


def test_what_is_not_there(client):
    answer = client.get(f"/api/v1/models/{uuid.uuid4()}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_list_is_newest_first_in_pages_and_only_mine(acme, client):
    mine = [factories.make_artifact(acme) for _ in range(5)]
    factories.make_artifact(factories.make_organization())
    newest_first = [str(artifact.public_id) for artifact in reversed(mine)]
    found, path = [], "/api/v1/models?limit=2"
    for _ in range(3):
        page = client.get(path).json()
        found += [model["id"] for model in page["results"]]
        path = page["next"]
    assert found == newest_first
    assert path is None


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "100000", "%00"])
def test_a_strange_limit_is_no_error(acme, client, limit):
    factories.make_artifact(acme)
    assert len(client.get(f"/api/v1/models?limit={limit}").json()["results"]) == 1
