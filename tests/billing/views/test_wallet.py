"""The wallet's pages and API, as a customer sees them."""

import json
import re
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.ledger import posting
from billing.models import CardTopUp, StripeCommand, StripeEvent
from billing.wallet import wallets
from tests import factories
from tests.billing.topups.helpers import ask, start
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return factories.make_organization(wallet_micro=10_000_000)


@pytest.fixture
def browser(acme, client_of) -> Client:
    return client_of(acme.memberships.get().user)


def send(browser: Client, **fields: Any) -> Any:
    return browser.post("/wallet/top-ups", {"choice": "50", "key": str(uuid.uuid4()), **fields})


def test_the_wallet_shows_what_the_ledger_says(browser, acme):
    factories.make_ordered_job(acme)
    page = browser.get("/wallet/").content.decode()
    summary = wallets.summary(acme)
    assert summary.held_micro
    for text in ("Held for a job", "+$10.00", "Bank transfer", "The hard cap", "Go to payment"):
        assert text in page


def test_the_form_leads_to_stripes_page_and_back_to_the_money(stripe: FakeWorld, browser, acme):
    page = browser.get("/wallet/").content.decode()
    key = re.search(r'name="key" value="([^"]+)"', page).group(1)
    answer = send(browser, key=key)
    (session,) = stripe.sessions()
    assert (answer.status_code, answer["Location"]) == (302, session["url"])
    assert send(browser, key=key)["Location"] == session["url"]
    assert stripe.fake.payments.pay(session["id"], "4242424242424242") == "paid"
    done = browser.get(session["success_url"]).content.decode()
    assert "$50.00 arrived. $60.00 is free to spend." in done
    assert browser.get(session["success_url"]).status_code == 200
    assert wallets.summary(acme).balance_micro == 60_000_000
    assert posting.recompute() == []


def test_a_form_may_lead_to_stripe_and_nowhere_else(browser, settings):
    policy = browser.get("/wallet/")["Content-Security-Policy"]
    assert f"form-action 'self' {settings.STRIPE_CHECKOUT_ORIGIN}" in policy
    assert "form-action 'self';" in browser.get("/jobs/")["Content-Security-Policy"] + ";"


def test_going_back_costs_nothing_and_the_page_stays(stripe: FakeWorld, browser, acme):
    send(browser)
    (session,) = stripe.sessions()
    page = browser.get(session["cancel_url"]).content.decode()
    assert "Nothing was charged" in page
    assert session["url"] in page


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"choice": "other", "amount": "4.99"}, "The amount is too small."),
        ({"choice": "other", "amount": ""}, "Say how much."),
        ({"choice": "other", "amount": "1.234"}, "decimal places"),
        ({"choice": "other", "amount": "five"}, "Enter a number."),
        ({"choice": "7"}, "This form was not complete"),
        ({"key": "x"}, "This form was not complete"),
    ],
)
def test_what_the_form_refuses(stripe: FakeWorld, browser, fields, message):
    answer = send(browser, **fields)
    assert answer.status_code == 400
    assert message in answer.content.decode()
    assert CardTopUp.objects.count() == 0


def test_another_amount(stripe: FakeWorld, browser):
    send(browser, choice="other", amount="12.34")
    assert stripe.sessions()[0]["amount_total"] == 1234


def test_while_stripe_is_away_the_page_waits(stripe: FakeWorld, browser):
    stripe.transport.faults = ["busy"]
    answer = send(browser)
    top_up = CardTopUp.objects.get()
    assert answer["Location"] == reverse("top_up_pay", args=[top_up.public_id])
    assert "One moment" in browser.get(answer["Location"]).content.decode()
    stripe.run()
    part = browser.get(answer["Location"] + "?fragment=state").content.decode()
    assert "Continue to payment" in part
    assert "<html" not in part


def test_the_page_after_paying_says_when_stripe_cannot_be_asked(stripe: FakeWorld, browser, acme):
    top_up = start(acme)
    stripe.pay(top_up)
    stripe.transport.faults = ["broken"]
    url = reverse("top_up_done", args=[top_up.public_id])
    assert "stripe_unavailable" in browser.get(url).content.decode()
    assert "It is in your wallet" in browser.get(url).content.decode()


@pytest.mark.parametrize("number", ["4000000000000002", "000123456789"])
def test_every_state_has_its_words(stripe: FakeWorld, browser, acme, number):
    top_up = start(acme)
    stripe.pay(top_up, number)
    stripe.deliver_all()
    stripe.run()
    page = browser.get(reverse("top_up_pay", args=[top_up.public_id])).content.decode()
    assert ("The card was refused" if number.startswith("4") else "Your bank is working on it") in page
    browser.get("/wallet/")
    (
        stripe.fake.payments.expire(top_up.session_id)
        if number.startswith("4")
        else stripe.fake.payments.settle(top_up.session_id, paid=False)
    )
    stripe.deliver_all()
    stripe.run()
    assert "Nothing was charged" in browser.get(reverse("top_up_pay", args=[top_up.public_id])).content.decode()


def test_without_stripe_the_wallet_has_no_form(browser, settings):
    settings.STRIPE_SECRET_KEY = ""
    assert "Go to payment" not in browser.get("/wallet/").content.decode()


def test_by_api(stripe: FakeWorld, api, acme):
    client = api(factories.make_key(acme)[1])

    def post(body: dict[str, Any], **headers: str) -> Any:
        headers = {"Idempotency-Key": "k"} | headers
        return client.post("/api/v1/wallet/top-ups", json.dumps(body), content_type="application/json", headers=headers)

    first, again = post({"amount_micro": 20_000_000}), post({"amount_micro": 20_000_000})
    assert first.status_code == 201
    assert first.json() == again.json()
    assert first.json()["checkout_url"] == stripe.sessions()[0]["url"]
    assert post({"amount_micro": 30_000_000}).json()["error"]["code"] == "idempotency_conflict"
    assert post({"amount_micro": 1}, **{"Idempotency-Key": "l"}).json()["error"]["code"] == "amount_too_small"
    assert post({"amount_micro": 1}, **{"Idempotency-Key": ""}).json()["error"]["code"] == "idempotency_key_missing"
    assert post({}).json()["error"]["code"] == "invalid_input"
    stripe.fake.payments.pay(stripe.sessions()[0]["id"], "4242424242424242")
    stripe.deliver_all()
    stripe.run()
    shown = client.get(f"/api/v1/wallet/top-ups/{first.json()['id']}").json()
    assert (shown["status"], shown["checkout_url"]) == ("paid", "")
    assert client.get("/api/v1/wallet/top-ups").json()["results"] == [shown]
    assert client.get(f"/api/v1/wallet/top-ups/{uuid.uuid4()}").status_code == 404


def test_operators_see_what_was_given_up_and_try_again(stripe: FakeWorld, cast, acme, client_of):
    stripe.transport.faults = ["refused"]
    top_up = start(acme)
    stripe.deliver({**event_of(stripe), "livemode": True})
    stripe.run()
    desk = client_of(cast.opal)
    for model, row in ((StripeCommand, StripeCommand.objects.first()), (StripeEvent, StripeEvent.objects.first())):
        url = reverse(f"admin:billing_{model._meta.model_name}_changelist")
        assert str(row.status_code) in desk.get(url).content.decode()
        ids = list(model.objects.values_list("pk", flat=True))
        assert desk.post(url, {"action": "try_again", "_selected_action": ids}).status_code == 302
    assert set(StripeCommand.objects.values_list("status", flat=True)) == {"queued"}
    stripe.run()
    top_up.refresh_from_db()
    assert top_up.status == "open"


def event_of(stripe: FakeWorld) -> dict[str, Any]:
    stripe.fake.handle("POST", "/v1/customers", {"authorization": "Bearer sk_test_fake_1"}, "name=x")
    return stripe.events("customer.created")[0]


def test_an_asked_for_top_up_of_another_is_not_there(stripe: FakeWorld, acme, client_of):
    globex = factories.make_organization("globex@example.com")
    stranger = client_of(globex.memberships.get().user)
    top_up = ask(acme)
    for page in ("top_up_pay", "top_up_done", "top_up_left"):
        assert stranger.get(reverse(page, args=[top_up.public_id])).status_code == 404
