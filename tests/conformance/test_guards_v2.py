"""The wire guard for API v2: JSON with its own types, closed objects, errors of its own shape."""

import json
from typing import Any

import pytest

from billing.stripe.gateway.client import API_VERSION, client
from marketplace.local.fake_stripe.payees import Payees
from tests.conformance import wire
from tests.conformance.fixture import FakeWorld, stripe
from tests.conformance.sdk_types import TypesViolated
from tests.conformance.wire import WireViolated

__all__ = ["stripe"]
HEADERS = {
    "Stripe-Version": API_VERSION,
    "Authorization": "Bearer sk_test_fake_1",
    "Idempotency-Key": "test:1",
    "Content-Type": "application/json",
}
OPTIONS = {"idempotency_key": "test:1"}
RESPONSIBILITIES = {"fees_collector": "application", "losses_collector": "application"}
ACCOUNT: dict[str, Any] = {
    "identity": {"country": "de", "entity_type": "individual"},
    "dashboard": "express",
    "metadata": {"command": "c:1"},
    "configuration": {"recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}}},
    "defaults": {"currency": "eur", "responsibilities": RESPONSIBILITIES},
}
LINK = {"type": "account_onboarding", "account_onboarding": {"refresh_url": "https://x.example"}}


@pytest.mark.parametrize(
    ("path", "headers", "body", "message"),
    [
        ("accounts", {"Content-Type": "application/x-www-form-urlencoded"}, ACCOUNT, "Content-Type"),
        ("accounts", {"Idempotency-Key": "none"}, ACCOUNT, "none of ours"),
        ("accounts", {}, {**ACCOUNT, "type": "express"}, "type"),
        ("accounts", {}, {**ACCOUNT, "dashboard": "fancy"}, "fancy"),
        ("accounts", {}, {"identity": {"country": 49}}, "49"),
        ("account_links", {}, {"account": "a"}, "use_case"),
        (
            "account_links",
            {},
            {
                "account": "a",
                "use_case": {
                    "type": "account_onboarding",
                    "account_onboarding": {"refresh_url": "https://x.example", "configurations": ["recipient"]},
                },
            },
            "configurations",
        ),
        ("people", {}, {}, "Stripe has no"),
    ],
)
def test_the_wire_refuses(path: str, headers: dict[str, str], body: dict[str, Any], message: str):
    with pytest.raises(WireViolated, match=message):
        wire.check_request("post", f"https://api.stripe.com/v2/core/{path}", HEADERS | headers, json.dumps(body))


def test_a_list_is_asked_for_by_query():
    found = wire.check_request(
        "get", "https://api.stripe.com/v2/core/accounts?limit=3&applied_configurations[0]=recipient", HEADERS, ""
    )
    assert found["operationId"] == "GetV2CoreAccounts"
    with pytest.raises(WireViolated):
        wire.check_request("get", "https://api.stripe.com/v2/core/accounts?starting_after=x", HEADERS, "")


@pytest.mark.parametrize("answer", [{"id": "acct_1"}, {"error": {"message": "no code"}}])
def test_the_wire_refuses_an_answer_that_stripe_would_not_give(answer: dict[str, Any]):
    status = 400 if "error" in answer else 200
    with pytest.raises(WireViolated):
        wire.check_answer(wire.operation_of("post", "/v2/core/accounts"), status, json.dumps(answer))


def test_the_sdks_types_refuse_too(stripe: FakeWorld):
    accounts, links = client().v2.core.accounts, client().v2.core.account_links
    for wrong in ({"type": "express"}, {"dashboard": "fancy"}, {"defaults": {"responsibilities": {}}}):
        with pytest.raises(TypesViolated):
            accounts.create({**ACCOUNT, **wrong}, OPTIONS)
    with pytest.raises(TypesViolated, match="configurations"):
        links.create(
            {
                "account": "a",
                "use_case": {
                    "type": "account_onboarding",
                    "account_onboarding": {"refresh_url": "https://x.example", "configurations": ["recipient"]},
                },
            },
            OPTIONS,
        )
    assert stripe.transport.requests == []


def test_keys_and_errors_of_v2(stripe: FakeWorld):
    import stripe as sdk

    accounts = client().v2.core.accounts
    first = accounts.create(ACCOUNT, OPTIONS)
    assert accounts.create(ACCOUNT, OPTIONS).id == first.id
    with pytest.raises(sdk.StripeError, match="same parameters"):
        accounts.create({**ACCOUNT, "display_name": "B"}, OPTIONS)
    with pytest.raises(sdk.StripeError) as caught:
        accounts.retrieve("acct_none")
    assert (caught.value.http_status, caught.value.code) == (404, "not_found")
    with pytest.raises(sdk.StripeError) as caught:
        client().v2.core.account_links.create({"account": "acct_none", "use_case": LINK}, {"idempotency_key": "l:1"})
    assert caught.value.http_status == 404
    for name, wrong in (
        ("country", {"identity": {"entity_type": "individual"}}),
        ("recipients", {"configuration": {"customer": {}}}),
    ):
        with pytest.raises(sdk.StripeError, match=f"(?i){name}"):
            accounts.create({**ACCOUNT, **wrong}, {"idempotency_key": f"{name}:1"})


def test_what_was_not_asked_for_is_not_shown(stripe: FakeWorld):
    made = client().v2.core.accounts.create(ACCOUNT, OPTIONS)
    assert "requirements" not in made.to_dict()
    assert "requirements" in client().v2.core.accounts.retrieve(made.id, {"include": ["requirements"]}).to_dict()


def test_thin_events_are_signed_sent_and_only_name_the_account(stripe: FakeWorld):
    made = client().v2.core.accounts.create(ACCOUNT, OPTIONS)
    Payees(stripe.fake.emitter).decide(made.id, "ready")
    events = stripe.events("v2.")
    assert {event["type"] for event in events} == {
        "v2.core.account[requirements].updated",
        "v2.core.account[configuration.recipient].capability_status_updated",
    }
    for event in events:
        wire.check_event(event)
        assert event["related_object"]["id"] == made.id
    due = stripe.fake.emitter.deliveries.due(10**11)
    assert [json.loads(delivery.body)["object"] for delivery in due] == ["v2.core.event"] * 2
    with pytest.raises(WireViolated):
        wire.check_event({**events[0], "data": {}, "account": "x"})
