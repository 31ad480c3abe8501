"""The OpenAPI schema is valid, has no warnings, and matches the routes."""

import json

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", "--file", str(path))
    return json.loads(path.read_text())


def test_it_is_valid_and_has_no_warnings(schema):
    """`spectacular --validate --fail-on-warn` wrote it and would have failed otherwise."""
    assert schema["openapi"].startswith("3.")
    assert schema["info"]["title"] == "Driveway API"


def test_every_customer_route_is_in_it_and_nothing_else(schema):
    routes = {
        f"/api/v1/{pattern.pattern}".replace("<uuid:public_id>", "{public_id}")
        for include in get_resolver().url_patterns
        if str(include.pattern) == "api/v1/"
        for pattern in include.url_patterns
        if pattern.name != "api_nothing"
    }
    assert {path for path in schema["paths"] if path.startswith("/api/v1/")} == routes
    assert not any("node" in path for path in schema["paths"])


def test_every_operation_has_an_id_a_description_and_answers(schema):
    operations = [
        operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/v1/") and method != "parameters"
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids)) >= 11
    assert all(operation["responses"] for operation in operations)
    assert all(operation["security"] == [{"ApiKey": []}] for operation in operations)
    assert schema["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"


def test_ordering_asks_for_an_idempotency_key(schema):
    parameters = schema["paths"]["/api/v1/jobs"]["post"]["parameters"]
    assert [(p["name"], p["in"], p["required"]) for p in parameters] == [("Idempotency-Key", "header", True)]


def test_anybody_may_read_it():
    answer = Client().get("/api/schema")
    assert answer.status_code == 200
    assert b"/api/v1/jobs" in answer.content
