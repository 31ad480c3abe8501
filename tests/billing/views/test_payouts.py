"""The pages of payouts, as an owner sees them, with the fake's pages in place of Stripe's."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import Owner
from billing.models import ConnectedAccount
from billing.payouts import accounts as connected_accounts
from billing.payouts import final_payouts, payouts
from marketplace.local.fake_stripe.payee_pages import PayeePages
from tests import factories
from tests.billing.payouts.helpers import become, fund, make_payout, ready_owner
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db
FORM = {"name": "Ann Owner", "bank": "000123456789", "outcome": "ready"}


@pytest.fixture
def owner() -> Owner:
    return factories.make_owner("ann@example.com")


@pytest.fixture
def browser(owner, client_of) -> Client:
    return client_of(owner.user)


def start(browser: Client, country: str = "DE") -> Any:
    page = browser.get("/payouts/account").content.decode()
    key = re.search(r'name="key" value="([^"]+)"', page)
    return browser.post("/payouts/account/start", {"country": country, "key": key.group(1)} if key else {})


def at_stripe(stripe: FakeWorld, url: str, **form: str) -> Any:
    return PayeePages(stripe.fake).show("POST" if form else "GET", url.removeprefix("http://fake-stripe.test"), form)


def test_from_nothing_to_ready_by_stripes_page(stripe: FakeWorld, browser, owner):
    page = browser.get("/payouts/account").content.decode()
    assert all(text in page for text in ("Set up payouts", "ann@example.com", "Germany", "we never see them"))
    answer = start(browser)
    assert (answer.status_code, "/setup/link_fake" in answer["Location"]) == (302, True)
    assert "Who are you" in at_stripe(stripe, answer["Location"]).body
    assert "Give a name" in at_stripe(stripe, answer["Location"], **{**FORM, "name": " "}).body
    done = at_stripe(stripe, answer["Location"], **FORM)
    assert (done.status, done.headers["Location"]) == (303, "http://testserver/payouts/account/return")
    assert "Information needed" in browser.get("/payouts/account").content.decode()
    assert browser.get("/payouts/account/return")["Location"] == "/payouts/account"
    page = browser.get("/payouts/account").content.decode()
    assert "You can be paid" in page
    assert "/express/" in browser.post("/payouts/dashboard")["Location"]
    assert "Ann Owner" in at_stripe(stripe, browser.post("/payouts/dashboard")["Location"]).body
    assert connected_accounts.account_of(owner).country == "DE"


def test_a_used_or_old_link_leads_to_a_fresh_one(stripe: FakeWorld, browser):
    first = start(browser)["Location"]
    at_stripe(stripe, first, **{**FORM, "outcome": "more"})
    old = at_stripe(stripe, first)
    assert (old.status, old.headers["Location"]) == (303, "http://testserver/payouts/account/refresh")
    fresh = browser.get("/payouts/account/refresh")["Location"]
    assert fresh != first
    clock = stripe.fake.emitter.clock
    stripe.fake.emitter.clock = lambda: clock() + 301
    assert at_stripe(stripe, fresh).status == 303


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            "more",
            (
                "Information needed",
                "A document that shows who you are",
                "From you, overdue",
                "Answer at Stripe",
                "document not readable",
            ),
        ),
        ("pending", ("Being checked", "You need not do anything", "Stripe is checking")),
        ("restricted", ("Restricted", "Stripe does not let us pay you", "restricted_other")),
        ("soon", ("Ready", "Stripe asks you for something", "Your tax or identity number", "Answer at Stripe")),
    ],
)
def test_every_state_in_words(stripe: FakeWorld, browser, owner, outcome: str, said: tuple[str, ...]):
    start(browser)
    become(stripe, ConnectedAccount.objects.get(), outcome)
    page = browser.get("/payouts/account").content.decode()
    assert [text for text in said if text not in page] == []


def test_a_country_that_we_cannot_pay_to_and_a_broken_form(stripe: FakeWorld, browser):
    assert browser.post("/payouts/account/start", {"country": "BR", "key": "x"}).status_code == 400
    assert ConnectedAccount.objects.count() == 0


def test_while_stripe_is_away_the_page_says_so_and_nothing_is_made_twice(stripe: FakeWorld, browser):
    stripe.transport.faults = ["busy"]
    assert start(browser)["Location"] == "/payouts/account"
    assert "Stripe is preparing your account" in browser.get("/payouts/account").content.decode()
    stripe.run()
    stripe.transport.faults = ["busy"]
    assert "cannot be opened just now" in browser.post("/payouts/account/start", follow=True).content.decode()
    assert ConnectedAccount.objects.count() == 1


def test_a_refused_account_can_be_asked_for_again(stripe: FakeWorld, browser):
    stripe.transport.faults = ["refused"]
    start(browser)
    assert "Your account could not be made" in browser.get("/payouts/account").content.decode()
    assert "/setup/" in start(browser, "AT")["Location"]


def test_forms_may_lead_to_stripe_and_nowhere_else(stripe: FakeWorld, browser, settings):
    policy = browser.get("/payouts/account")["Content-Security-Policy"]
    assert f"form-action 'self' {settings.STRIPE_CONNECT_ORIGIN}" in policy


def test_payouts_in_words(stripe: FakeWorld, client_of):
    fund(stripe, 40_00)
    owner = ready_owner(stripe)
    browser = client_of(owner.user)
    page = browser.get("/payouts/").content.decode()
    assert all(text in page for text in ("No payout yet", "$10.00", "7 days later"))
    make_payout(owner, 30_000_000)
    make_payout(owner, 20_000_000)
    payouts.hold(payout=make_payout(owner, 15_000_000), reason="secret reason", actor=None)
    payouts.send_due()
    stripe.run()
    page = browser.get("/payouts/").content.decode()
    for text in ("$30.00", "Paid by us", "On its way to your bank", "Waits for customers", "Held while our staff"):
        assert text in page, text
    assert "secret reason" not in page
    stranger = factories.make_owner()
    assert "$30.00" not in client_of(stranger.user).get("/payouts/").content.decode()


def test_who_leaves_is_paid_first(stripe: FakeWorld, client_of, monkeypatch):
    owner = ready_owner(stripe)
    browser = client_of(owner.user)
    assert "You are owed nothing that can be paid out." in browser.post("/payouts/final", follow=True).content.decode()
    payouts.return_to_balance(payout=make_payout(owner, 3_210_000), reason="x", actor=None)  # 3.21 are owed now
    for page in ("/privacy/close", "/privacy/erasure"):
        assert "Pay me out first" in browser.get(page).content.decode()
    page = browser.post("/payouts/final", follow=True).content.decode()
    assert "Your last statement is closed" in page
    assert "$3.21" in page
    assert final_payouts.is_under_way(owner)
    assert "on its way to you" in browser.get("/privacy/erasure").content.decode()


def test_the_desk_of_payees(stripe: FakeWorld, browser):
    start(browser)
    account = ConnectedAccount.objects.get()
    desk = at_stripe(stripe, "/payees").body
    assert account.stripe_id[-12:] in desk
    pages = PayeePages(stripe.fake)
    assert pages.show("POST", f"/payees/{account.stripe_id}/ready", {}).status == 303
    assert connected_accounts.refresh(account=account).status == "active"
    assert pages.show("POST", f"/payees/{account.stripe_id}/nothing", {}).status == 404
    assert pages.show("GET", "/setup/link_fakenone", {}).status == 404
