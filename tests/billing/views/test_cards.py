"""The pages of cards, recharge and wallet, as a customer sees them: every role, every state, every refusal."""

import re
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Membership
from billing.ledger import posting
from billing.models import AutoRecharge, CardTopUp, SavedCard, StripeCommand
from billing.topups import saved_cards
from billing.topups.recharges import recharge_low
from marketplace.local.fake_stripe.pages import Pages
from tests import factories
from tests.billing.topups.helpers import recharge, save_card, start
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db
PAGE = "/wallet/auto-recharge"
FORM = {"is_on": "on", "threshold": "20", "amount": "50.00", "monthly_cap": "200"}


@pytest.fixture
def acme():
    return factories.make_organization(wallet_micro=10_000_000)


@pytest.fixture
def browser(acme, client_of) -> Client:
    return client_of(acme.memberships.get().user)


def member(organization, client_of, role: str) -> Client:
    user = factories.make_user()
    Membership.objects.create(organization=organization, user=user, role=role)
    return client_of(user)


def text(browser: Client, path: str = PAGE) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_person_saves_a_card_by_clicking_and_switches_the_recharge_on(stripe: FakeWorld, browser, acme):
    page = text(browser)
    assert "No card is saved" in page
    key = re.search(r'name="key" value="([^"]+)"', page).group(1)
    answer = browser.post("/wallet/cards/add", {"key": key})
    (session,) = stripe.sessions()
    assert (answer.status_code, answer["Location"]) == (302, session["url"])
    assert browser.post("/wallet/cards/add", {"key": key})["Location"] == session["url"]
    pages, path = Pages(stripe.fake), f"/c/pay/{session['id']}"
    assert "Save the card" in pages.show("GET", path, {}).body
    assert "Your card was declined." in pages.show("POST", path, {"number": "4000000000000002"}).body
    assert "is it you?" in pages.show("POST", path, {"number": "4000002500003155"}).body
    back = pages.show("POST", f"{path}/bank", {"answer": "yes"}).headers["Location"]
    done = text(browser, back.removeprefix("http://testserver"))
    assert "The card is saved" in done
    assert "Visa, ends in 3155" in done
    page = text(browser)
    card = SavedCard.objects.get()
    for word in ("Visa, ends in 3155", "Default", "Recharge automatically", str(card.public_id)):
        assert word in page
    answer = browser.post(PAGE, {**FORM, "card": str(card.public_id)}, follow=True)
    assert "The automatic recharge is on." in answer.content.decode()
    assert AutoRecharge.objects.get().threshold_micro == 20_000_000
    recharge_low()
    stripe.run()
    page = text(browser)
    for word in ("$150.00", "Used by the recharge", "Paid"):
        assert word in page
    assert "Automatic recharge" in text(browser, "/wallet/")


def test_the_box_of_the_top_up_form_keeps_the_card(stripe: FakeWorld, browser, acme):
    browser.post("/wallet/top-ups", {"choice": "50", "key": str(uuid.uuid4()), "keep": "on"})
    (session,) = stripe.sessions()
    assert "kept for later" in Pages(stripe.fake).show("GET", f"/c/pay/{session['id']}", {}).body
    stripe.pay(CardTopUp.objects.get())
    text(browser, session["success_url"].removeprefix("http://testserver"))
    assert [card.last4 for card in saved_cards.cards_of(acme)] == ["4242"]


def test_default_and_removal_by_click(stripe: FakeWorld, browser, acme):
    first, second = save_card(stripe, acme), save_card(stripe, acme, "5555555555554444")
    recharge(acme, first)
    browser.post(reverse("saved_card_default", args=[second.public_id]))
    assert saved_cards.cards_of(acme) == [second, first]
    answer = browser.post(reverse("saved_card_remove", args=[first.public_id]), follow=True).content.decode()
    for word in ("The card is removed.", "Paused since", "The card that it used was removed.", "card_removed"):
        assert word in answer
    assert "Visa, ends in 4242" not in answer.split('id="cards-title"')[1].split("</section>")[0]
    late = browser.post(reverse("saved_card_default", args=[first.public_id]), follow=True).content.decode()
    assert "not saved any more" in late
    browser.post(PAGE, {**FORM, "card": str(second.public_id)})
    assert "Paused since" not in text(browser)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"amount": "4.99"}, "The amount is too small."),
        ({"amount": "five"}, "Enter a number."),
        ({"threshold": "-1"}, "The threshold cannot be below zero."),
        ({"monthly_cap": "49"}, "must be at least one recharge"),
        ({"card": ""}, "Choose a card."),
        ({"card": str(uuid.uuid4())}, "not saved any more"),
        ({"threshold": ""}, "This field is required."),
    ],
)
def test_what_the_form_refuses(stripe: FakeWorld, browser, acme, fields, message):
    card = save_card(stripe, acme)
    answer = browser.post(PAGE, {**FORM, "card": str(card.public_id), **fields})
    assert answer.status_code == 400
    assert message in answer.content.decode()
    assert AutoRecharge.objects.count() == 0


def test_a_bank_that_asks_is_answered_by_topping_up_on_the_page(stripe: FakeWorld, browser, acme):
    recharge(acme, save_card(stripe, acme, "4000002760003184"))
    recharge_low()
    stripe.run()
    page = text(browser)
    assert "Your bank wants you to confirm the payment yourself." in page
    link = re.search(r'href="(/wallet/\?amount=50\.00)#', page).group(1)
    form = text(browser, link)
    assert 'value="50.00"' in form
    assert 'value="other" checked' in form
    row = CardTopUp.objects.get(origin="auto")
    assert "authentication_required" in text(browser, reverse("top_up_pay", args=[row.public_id]))
    assert 'value="50.00"' not in text(browser, "/wallet/?amount=%22%3E")


@pytest.mark.parametrize("role", ["admin", "finance", "developer"])
def test_who_may_move_money(stripe: FakeWorld, acme, client_of, role: str):
    visitor, may = member(acme, client_of, role), role != "developer"
    card = save_card(stripe, acme)
    recharge(acme, card)
    waiting = start(acme)
    posts = [
        ("/wallet/top-ups", {"choice": "50", "key": str(uuid.uuid4())}),
        ("/wallet/cards/add", {"key": str(uuid.uuid4())}),
        (PAGE, {**FORM, "card": str(card.public_id)}),
        (reverse("saved_card_default", args=[card.public_id]), {}),
        (reverse("saved_card_remove", args=[card.public_id]), {}),
    ]
    wallet, page = text(visitor, "/wallet/"), text(visitor)
    assert ("Go to payment" in wallet, waiting.checkout_url in wallet) == (may, may)
    assert ("Save another card" in page, "Recharge automatically" in page, "but not change them." in page) == (
        may,
        may,
        not may,
    )
    assert (waiting.checkout_url in text(visitor, reverse("top_up_pay", args=[waiting.public_id]))) == may
    assert {visitor.post(path, fields).status_code for path, fields in posts} == ({302} if may else {403})
    assert saved_cards.cards_of(acme) == ([] if may else [card])


def test_cards_of_another_are_not_there(stripe: FakeWorld, acme, client_of):
    card = save_card(stripe, acme)
    globex = factories.make_organization("globex@example.com")
    stranger = client_of(globex.memberships.get().user)
    for name in ("saved_card_default", "saved_card_remove"):
        assert stranger.post(reverse(name, args=[card.public_id])).status_code == 404
    assert stranger.get(reverse("saved_card_done", args=[card.public_id])).status_code == 404
    assert stranger.post(PAGE, {**FORM, "card": str(card.public_id)}).status_code == 400
    assert AutoRecharge.objects.count() == 0


def test_while_stripe_is_away_the_page_waits(stripe: FakeWorld, browser):
    stripe.transport.faults = ["busy"]
    answer = browser.post("/wallet/cards/add", {"key": str(uuid.uuid4())})
    assert "One moment" in text(browser, answer["Location"])
    stripe.run()
    part = text(browser, answer["Location"] + "?fragment=state")
    assert "Continue to Stripe" in part
    assert "<html" not in part
    stripe.transport.faults = ["broken"]
    assert "stripe_unavailable" in text(browser, answer["Location"])
    browser.post("/wallet/cards/add", {"key": "x"})
    assert StripeCommand.objects.filter(kind="create_setup_session").count() == 1


def test_the_wallet_shows_credit_debts_and_what_moved(browser, acme):
    place = {
        kind: posting.account(posting.AccountName(kind=kind, currency="USD", organization_id=acme.pk))
        for kind in ("wallet", "promo_wallet", "disputed", "hold")
    }
    outside = {
        kind: posting.platform(kind, "USD") for kind in ("promotion", "stripe_clearing", "revenue", "adjustment")
    }
    moves = [
        ("promo", outside["promotion"], place["promo_wallet"], 5),
        ("hold", place["promo_wallet"], place["hold"], 2),
        ("dispute", place["disputed"], outside["stripe_clearing"], 8),
        ("offset", place["wallet"], place["disputed"], 1),
        ("refund", place["wallet"], outside["stripe_clearing"], 1),
        ("correction", outside["revenue"], place["wallet"], 1),
        ("adjustment", outside["adjustment"], place["wallet"], 1),
    ]
    for kind, debit, credit, amount in moves:
        posting.post(
            [
                posting.Posting(
                    kind=kind, debit=debit, credit=credit, amount_micro=amount * 10**6, idempotency_key=f"test:{kind}"
                )
            ]
        )
    page = text(browser, "/wallet/")
    for word in (
        "$13.00",
        "Of that, promotional credit",
        "$3.00",
        "Owed for disputed payments",
        "$7.00 is owed",
        "Promotional credit",
        "(promotional credit)",
        "Used for a disputed payment",
        "Refund to where it was paid from",
        "Charge given back",
        "Goodwill or correction",
    ):
        assert word in page


def test_by_api(stripe: FakeWorld, api, acme):
    client = api(factories.make_key(acme)[1])

    def put(**fields: Any) -> Any:
        body = {
            "is_on": True,
            "threshold_micro": 20_000_000,
            "amount_micro": 50_000_000,
            "monthly_cap_micro": 200_000_000,
        }
        return client.put("/api/v1/wallet/auto-recharge", {**body, **fields}, content_type="application/json")

    empty = client.get("/api/v1/wallet/auto-recharge").json()
    assert (empty["is_on"], empty["amount_micro"], empty["cards"]) == (False, None, [])
    assert put().json()["error"]["code"] == "card_not_saved"
    save_card(stripe, acme)
    other = save_card(stripe, acme, "4000008260003178")
    first = put()
    assert first.json() == put().json() == client.get("/api/v1/wallet/auto-recharge").json()
    assert (first.status_code, first.json()["card"]["last4"], len(first.json()["cards"])) == (200, "4242", 2)
    assert put(monthly_cap_micro=1_000_000).json()["error"]["code"] == "cap_below_amount"
    assert put(card=str(uuid.uuid4())).json()["error"]["code"] == "card_not_saved"
    assert put(amount_micro="x").json()["error"]["code"] == "invalid_input"
    assert put(card=str(other.public_id)).json()["card"]["last4"] == "3178"
    recharge_low()
    stripe.run()
    assert (
        put().json()["paused_code"] == "insufficient_funds"
    )  # a repeated request does not end the pause: it does not mean that a person has looked
    shown = put(resume=True).json()
    assert (shown["paused_code"], shown["charged_this_month_micro"], shown["left_this_month_micro"]) == (
        "",
        0,
        200_000_000,
    )


def test_a_threshold_of_zero_is_shown_as_zero(acme, browser):
    recharge(acme, factories.make_saved_card(acme), threshold_micro=0)
    assert re.search(r'name="threshold"[^>]* value="0.00"', text(browser))
