"""Every error response of every API has the shape `{"error": {"code", "message", "fields"}}`."""

import uuid

import pytest
from django.db import DatabaseError, connection
from django.test import Client

from billing.orders import orders
from compute import protocol
from core import errors
from tests import factories

pytestmark = pytest.mark.django_db
NOBODY = uuid.UUID(int=1)


@pytest.fixture
def client(api):
    client = api(factories.make_key(factories.make_organization("acme@example.com"))[1])
    client.raise_request_exception = False
    return client


def check(answer, status, code):
    """Check the status and the shape of an error response; return its "error" object."""
    assert answer.status_code == status, answer.content[:300]
    assert answer["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"code", "message", "fields"}
    assert (error["code"], type(error["message"]), type(error["fields"])) == (code, str, dict)
    assert error["message"]
    return error


# --- unknown addresses and objects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "models/",
        "nothing",
        "jobs/not-an-id",
        "jobs/1/result",
        "models/../wallet",
        "",
        "jobs/" + "x" * 500,
        "wallet/",
        "v1/wallet",
    ],
)
def test_an_address_that_there_is_not(client, path):
    check(client.get(f"/api/v1/{path}"), 404, "not_found")


@pytest.mark.parametrize("path", ["", "nothing", "sync/", "blobs", "attempts/x/result", "attempts/-1/result"])
def test_an_address_that_nodes_have_not(client, path):
    check(client.get(f"/api/node/v1/{path}"), 404, "not_found")


def test_an_address_that_there_is_not_says_so_without_a_key():
    check(Client().get("/api/v1/nothing"), 404, "not_found")


@pytest.mark.parametrize("path", [f"jobs/{NOBODY}", f"models/{NOBODY}", f"jobs/{NOBODY}/result"])
def test_an_object_that_there_is_not(client, path):
    check(client.get(f"/api/v1/{path}"), 404, "not_found")


# --- wrong methods, content types and bodies --------------------------------------------------------------------------

ALLOWED = {
    "models": "GET POST",
    f"models/{NOBODY}": "GET",
    "files": "GET POST",
    "jobs": "GET POST",
    f"jobs/{NOBODY}": "GET",
    f"jobs/{NOBODY}/cancel": "POST",
    f"jobs/{NOBODY}/result": "GET",
    "estimates": "POST",
    "wallet": "GET",
}
WRONG = [
    (m, path) for path, ok in ALLOWED.items() for m in ("GET", "POST", "PUT", "PATCH", "DELETE") if m not in ok.split()
]


@pytest.mark.parametrize(("method", "path"), WRONG)
def test_a_method_that_there_is_not(client, method, path):
    answer = client.generic(method, f"/api/v1/{path}")
    check(answer, 405, "method_not_allowed")
    assert set(ALLOWED[path].split()) <= set(answer["Allow"].split(", "))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "enrol", "POST"),
        ("PUT", "credentials", "POST"),
        ("GET", "sync", "POST"),
        ("POST", f"blobs/{'0' * 64}", "GET"),
        ("POST", "attempts/1/result", "PUT"),
        ("GET", "attempts/1/result", "PUT"),
        ("DELETE", "sync", "POST"),
    ],
)
def test_a_method_that_nodes_have_not(client, method, path, allowed):
    answer = client.generic(method, f"/api/node/v1/{path}")
    check(answer, 405, "method_not_allowed")
    assert answer["Allow"] == allowed


@pytest.mark.parametrize("path", ["jobs", "estimates"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "x"])
def test_a_content_type_that_there_is_not(client, path, content_type):
    answer = client.post(f"/api/v1/{path}", b"x", content_type=content_type, headers={"Idempotency-Key": "k"})
    check(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["jobs", "estimates"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"items": NaN}',
        b'{"model": "\\ud800"}',
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"true",
    ],
)
def test_a_body_that_is_no_json_object(client, path, body):
    answer = client.post(f"/api/v1/{path}", body, content_type="application/json", headers={"Idempotency-Key": "k"})
    assert answer.status_code == 400, answer.content[:300]
    check(answer, 400, answer.json()["error"]["code"])
    assert answer.json()["error"]["code"] in ("bad_request", "invalid_input")


def test_a_body_that_is_too_large(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = b'{"model": "' + b"x" * 2000 + b'"}'
    answer = client.post("/api/v1/estimates", body, content_type="application/json")
    assert answer.status_code in (400, 413)
    check(answer, answer.status_code, answer.json()["error"]["code"])


@pytest.mark.parametrize("path", ["enrol", "sync", "credentials"])
def test_a_nodes_body_that_is_too_large(client, settings, path):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = client.post(f"/api/node/v1/{path}", b"x" * 2000, content_type=protocol.CONTENT_TYPE)
    check(answer, 413, "too_large")


# --- authentication ---------------------------------------------------------------------------------------------------


def test_no_key_and_a_bad_key(client):
    for headers in ({}, {"Authorization": "Bearer x"}):
        answer = Client().get("/api/v1/wallet", headers=headers)
        check(answer, 401, "unauthenticated")
        assert answer["WWW-Authenticate"] == "Bearer"


def test_a_missing_scope_is_named(api):
    organization = factories.make_organization()
    client = api(factories.make_key(organization, scopes=["jobs:read"])[1])
    assert "wallet:read" in check(client.get("/api/v1/wallet"), 403, "forbidden")["message"]


def test_an_unsigned_request_of_a_node(client):
    check(client.post("/api/node/v1/sync", b"", content_type=protocol.CONTENT_TYPE), 401, "signature_missing")


# --- errors of services -----------------------------------------------------------------------------------------------


def test_fields_that_are_not_valid_are_named(client):
    error = check(client.post("/api/v1/estimates", {}, content_type="application/json"), 400, "invalid_input")
    assert set(error["fields"]) == {"model"}


def domain_errors(kind=errors.DomainError):
    return [kind, *(deeper for direct in kind.__subclasses__() for deeper in domain_errors(direct))]


@pytest.mark.parametrize(
    "kind", {kind.__name__: kind for kind in domain_errors()}.values(), ids=lambda kind: kind.__name__
)
def test_every_domain_error_has_the_shape(client, monkeypatch, kind):
    def refuse(**_):
        raise kind("Not like this.", detail=1)

    monkeypatch.setattr(orders, "estimate", refuse)
    model = factories.make_artifact(factories.Organization.objects.get())
    body = {"model": str(model.public_id), "items": 1}
    answer = client.post("/api/v1/estimates", body, content_type="application/json")
    assert check(answer, kind.status, kind.code)["fields"] == {"detail": 1}
    assert 400 <= kind.status < 600


@pytest.mark.parametrize(
    ("sqlstate", "status"), [("DW001", 409), ("DW002", 409), ("DW003", 403), ("DW005", 402), ("DW006", 409)]
)
def test_refusals_of_the_database_have_the_shape(client, monkeypatch, sqlstate, status):
    def refuse(**_):
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'Refused by a trigger.' USING ERRCODE = '{sqlstate}'; END $$")

    monkeypatch.setattr(orders, "estimate", refuse)
    model = factories.make_artifact(factories.Organization.objects.get())
    body = {"model": str(model.public_id), "items": 1}
    answer = client.post("/api/v1/estimates", body, content_type="application/json")
    assert check(answer, status, errors.DATABASE_REFUSALS[sqlstate][1])["message"] == "Refused by a trigger."


@pytest.mark.parametrize(
    "crash", [RuntimeError("secret detail"), DatabaseError("secret detail")], ids=["bug", "database"]
)
def test_a_crash_has_the_shape_and_tells_nothing(client, monkeypatch, crash):
    def fall(**_):
        raise crash

    monkeypatch.setattr(orders, "estimate", fall)
    model = factories.make_artifact(factories.Organization.objects.get())
    answer = client.post(
        "/api/v1/estimates", {"model": str(model.public_id), "items": 1}, content_type="application/json"
    )
    assert "secret" not in answer.content.decode()
    check(answer, 500, "internal_error")
