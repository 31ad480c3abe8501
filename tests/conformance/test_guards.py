"""The guards themselves: each fails on a wrong call. Also the versions that they were reviewed for."""

from typing import Any

import pytest
import stripe as sdk

from billing.stripe.gateway.client import API_VERSION, client
from marketplace.local.fake_stripe.forms import decode
from tests.conformance import wire
from tests.conformance.fixture import FakeWorld, stripe
from tests.conformance.sdk_types import TypesViolated
from tests.conformance.transport import GuardedTransport
from tests.conformance.wire import WireViolated

__all__ = ["stripe"]
HEADERS = {
    "Stripe-Version": API_VERSION,
    "Authorization": "Bearer sk_test_fake_1",
    "Idempotency-Key": "test:1",
    "Content-Type": "application/x-www-form-urlencoded",
}
OPTIONS = {"idempotency_key": "test:1"}
SESSION: dict[str, Any] = {
    "mode": "payment",
    "ui_mode": "hosted_page",
    "success_url": "https://x.example",
    "line_items": [
        {"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 500, "product_data": {"name": "x"}}}
    ],
}


def test_versions_that_the_guards_were_reviewed_for():
    """With a new SDK or specification, read its changes and then change these lines.

    The specification is the older one.
    """
    assert sdk.api_version == API_VERSION == "2026-10-28.endive"
    assert wire.specification()["info"]["version"] == "2026-05-27.dahlia"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ui_mode": "hosted"}, "is not one of"),
        ({"payment_method_types": ["card"]}, "knows no 'payment_method_types'"),
        ({"success_url": 5}, "is not str"),
        ({"metadata": {"a": 1}}, "is not str"),
        ({"line_items": [{"quantity": "1"}]}, "is not int"),
        ({"line_items": {}}, "is not a list"),
        ({"idempotency_key": "x"}, "knows no 'idempotency_key'"),
    ],
)
def test_the_sdks_types_refuse(stripe: FakeWorld, wrong: dict[str, Any], message: str):
    with pytest.raises(TypesViolated, match=message):
        client().v1.checkout.sessions.create({**SESSION, **wrong}, OPTIONS)
    assert stripe.transport.requests == []


def test_the_sdks_types_refuse_what_is_missing(stripe: FakeWorld):
    with pytest.raises(TypesViolated, match="'query' is missing"):
        client().v1.customers.search({})


def test_a_right_call_passes_both_and_is_noted(stripe: FakeWorld):
    session = client().v1.checkout.sessions.create(SESSION, OPTIONS)
    assert session.status == "open"
    assert stripe.called == ["SessionService.create"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "message"),
    [
        ("post", "/v1/customers", {}, "nmae=x", "nmae"),
        ("post", "/v1/customers", {}, "metadata=x", "metadata"),
        ("post", "/v1/customers", {"Stripe-Version": "2020-08-27"}, "", "Stripe-Version"),
        ("post", "/v1/customers", {"Authorization": ""}, "", "no key"),
        ("post", "/v1/customers", {"Content-Type": "application/json"}, "", "Content-Type"),
        ("post", "/v1/customers", {"Idempotency-Key": "0b2c7f7e-6b0a-4a61-9b6e-0d7c3b1c2a11"}, "", "none of ours"),
        ("post", "/v1/customers", {"Idempotency-Key": "a:" + "b" * 254}, "", "none of ours"),
        ("post", "/v1/checkout/sessions", {}, "mode=pay", "pay"),
        ("get", "/v1/events?limit=many", {}, "", "many"),
        ("get", "/v1/events?size=10", {}, "", "size"),
        ("get", "/v1/customers/search", {}, "", "query"),
        ("post", "/v1/wallets", {}, "", "Stripe has no"),
    ],
)
def test_the_wire_refuses(method: str, path: str, headers: dict[str, str], body: str, message: str):
    with pytest.raises(WireViolated, match=message):
        wire.check_request(method, f"https://api.stripe.com{path}", HEADERS | headers, body)


@pytest.mark.parametrize(
    "lie",
    ['{"object": "customer"}', '{"id": "c", "object": "customer", "created": 1, "livemode": false, "rich": true}'],
)
def test_the_wire_refuses_an_answer_that_stripe_would_not_give(lie: str):
    with pytest.raises(WireViolated):
        wire.check_answer(wire.operation_of("post", "/v1/customers"), 200, lie)


def test_a_fake_that_lies_fails_the_test_that_asked_it(stripe: FakeWorld):
    stripe.transport.send = lambda *_: ('{"id": "cus_1", "object": "customer"}', 200, {})
    with pytest.raises(WireViolated):
        client().v1.customers.create({"name": "x"}, OPTIONS)


def test_an_event_shows_its_object_as_stripe_would(stripe: FakeWorld):
    client().v1.customers.create({"name": "x"}, OPTIONS)
    (event,) = stripe.events()
    wire.check_event(event)
    with pytest.raises(WireViolated):
        wire.check_event({**event, "data": {"object": {"object": "customer"}}})


def test_the_fixture_stands_between_every_test_and_stripe(stripe: FakeWorld):
    assert isinstance(client()._requestor._client, GuardedTransport)


def test_without_the_fixture_nothing_is_reached(settings):
    settings.STRIPE_SECRET_KEY = "sk_test_fake_1"
    with pytest.raises(AssertionError, match="did not ask for Stripe"):
        client()


def test_forms_are_read_as_stripe_writes_them():
    assert decode("a[b][0][c]=1&a[b][1][c]=2&d=&e[]=x&e[]=y") == {
        "a": {"b": [{"c": "1"}, {"c": "2"}]},
        "d": "",
        "e": ["x", "y"],
    }
