"""Pages and API of refunds, and what a suspended customer and an operator see."""

import re
import uuid

import pytest
from django.test import Client

from accounts.models import Membership, Organization
from accounts.owners import registration
from billing.models import CardDispute, Refund
from tests import factories
from tests.billing.refunds.helpers import balance, charge_of, dispute_desk, pay, settle
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return factories.make_organization()


@pytest.fixture
def browser(acme, client_of) -> Client:
    return client_of(acme.memberships.get().user)


def test_from_the_page_to_the_card(stripe: FakeWorld, acme, browser):
    pay(stripe, acme)
    page = browser.get("/wallet/refund").content.decode()
    assert "Visa 4242, paid $50.00" in page
    key = re.search(r'name="key" value="([^"]+)"', page)[1]
    for _ in range(2):
        answer = browser.post("/wallet/refund", {"amount": "20.00", "key": key}, follow=True)
        assert "on its way" in answer.content.decode()
    refund = Refund.objects.get()
    assert (refund.status, refund.requested_by, balance(acme)) == ("succeeded", acme.memberships.get().user, 30_000_000)
    assert "Refunded" in browser.get("/wallet/").content.decode()


def test_what_cannot_go_back_is_said_on_the_form(stripe: FakeWorld, acme, browser):
    pay(stripe, acme)
    for amount, words in (
        ("50.01", "This is more than can be refunded"),
        ("", "required"),
        ("x", "number"),
        ("0", "more than zero"),
    ):
        answer = browser.post("/wallet/refund", {"amount": amount, "key": uuid.uuid4()})
        assert (answer.status_code, words in answer.content.decode()) == (400, True), amount
    assert not Refund.objects.exists()


def test_a_page_without_stripe_still_shows_what_can_go_back(stripe: FakeWorld, acme, browser):
    pay(stripe, acme)
    stripe.transport.faults = ["broken"]
    assert "The card that paid" in browser.get("/wallet/refund").content.decode()


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("finance", 200), ("developer", 403)])
def test_who_may_have_money_paid_back(acme, browser, role: str, status: int):
    Membership.objects.update(role=role)
    assert browser.get("/wallet/refund").status_code == status
    assert browser.post("/wallet/refund", {}).status_code == (400 if status == 200 else 403)


def test_a_suspended_customer_sees_why_and_gets_nothing(stripe: FakeWorld, acme, browser):
    lot = pay(stripe, acme)
    pay(stripe, acme, 90_000_000)
    _, key = factories.make_key(acme)
    dispute_desk(stripe).open(charge_of(stripe, lot))
    settle(stripe)
    for path in ("/wallet/", "/wallet/refund"):
        assert "A payment is disputed" in browser.get(path).content.decode()
    answer = browser.post("/wallet/refund", {"amount": "10.00", "key": uuid.uuid4()})
    assert (answer.status_code, "suspended" in answer.content.decode()) == (400, True)
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}
    assert Client().get("/api/v1/wallet", headers=headers).status_code == 200
    for path in ("/api/v1/models", "/api/v1/jobs", "/api/v1/wallet/refunds"):
        refused = Client().post(path, {}, content_type="application/json", headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "organization_suspended"), path


def test_the_api_refunds_and_lists(stripe: FakeWorld, acme):
    pay(stripe, acme, 20_000_000)
    pay(stripe, acme, 20_000_000)
    _, key = factories.make_key(acme)
    ask = {"content_type": "application/json", "headers": {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}}
    for _ in range(2):
        answer = Client().post("/api/v1/wallet/refunds", {"amount_micro": 25_000_000}, **ask)
        assert answer.status_code == 201
        assert [(row["amount_micro"], row["status"]) for row in answer.json()] == [
            (20_000_000, "succeeded"),
            (5_000_000, "succeeded"),
        ]
    listed = Client().get("/api/v1/wallet/refunds", headers=ask["headers"]).json()
    assert [row["amount_micro"] for row in listed["results"]] == [5_000_000, 20_000_000]
    for body, code in (({"amount_micro": 10**9}, "refund_too_large"), ({"amount_micro": 5}, "amount_not_whole")):
        refused = Client().post(
            "/api/v1/wallet/refunds", body, **{**ask, "headers": {**ask["headers"], "Idempotency-Key": code}}
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)


def test_an_operator_answers_the_bank_and_is_led_to_propose_a_write_off(stripe: FakeWorld, acme, client_of):
    lot = pay(stripe, acme)
    factories.make_refund(acme, 30_000_000)
    settle(stripe)
    dispute_id = dispute_desk(stripe).open(charge_of(stripe, lot))
    settle(stripe)
    opal = factories.make_user()
    registration.register_operator(user=opal)
    office = client_of(opal)
    office.post("/operations/reason", {"category": "Support", "words": "a dispute to answer"})
    chosen = {"_selected_action": CardDispute.objects.get().pk}
    where = "/operations/billing/carddispute/"
    page = office.post(where, {**chosen, "action": "answer"}).content.decode()
    assert "Answer until" in page
    assert "$30.00" in page
    office.post(where, {**chosen, "action": "answer", "confirmed": "1", "text": "losing_evidence"})
    settle(stripe)
    dispute = CardDispute.objects.get()
    assert (dispute.status, stripe.fake.store.get(dispute_id)["status"]) == ("lost", "lost")
    office.post(where, {**chosen, "action": "write_off"})  # a form that is out of date
    assert balance(acme, "disputed") == 30_000_000
    page = office.get(f"{where}{dispute.pk}/change/").content.decode()
    assert f"/operations/billing/approval/add/?kind=write_off&amp;subject={dispute.public_id}" in page
    office.post(where, {**chosen, "action": "lift"})
    assert Organization.objects.get(pk=acme.pk).status == "active"
    for model in ("refund", "promocredit", "carddispute"):
        assert office.get(f"/operations/billing/{model}/").status_code == 200
