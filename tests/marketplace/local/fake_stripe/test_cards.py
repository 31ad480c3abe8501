"""The fake is as strict as Stripe about saved cards."""

import pytest

from marketplace.local.fake_stripe import FakeStripe
from marketplace.local.fake_stripe.pages import Pages
from marketplace.local.fake_stripe.setups import Setups
from tests.marketplace.local.fake_stripe.test_fake import ask

CHARGE = "amount=5000&currency=usd&off_session=true&confirm=true&automatic_payment_methods[allow_redirects]=never"


@pytest.fixture
def fake() -> FakeStripe:
    return FakeStripe()


def saved(fake: FakeStripe, number: str = "4242424242424242") -> tuple[str, str]:
    """Return the ids of a new customer and of a card that is saved for it."""
    customer = ask(fake, "POST", "/v1/customers", "name=a")[1]["id"]
    body = f"mode=setup&ui_mode=hosted_page&currency=usd&success_url=http://s/done&customer={customer}"
    session = ask(fake, "POST", "/v1/checkout/sessions", body)[1]["id"]
    assert Setups(fake.payments).save(session, number) == "saved"
    (setup,) = ask(fake, "GET", f"/v1/setup_intents?customer={customer}")[1]["data"]
    return customer, setup["payment_method"]


def test_a_setup_page_needs_a_currency(fake: FakeStripe):
    body = "mode=setup&ui_mode=hosted_page&success_url=http://s/done"
    assert ask(fake, "POST", "/v1/checkout/sessions", body)[1]["error"]["param"] == "currency"


def test_a_refusal_is_an_answer_that_the_key_remembers(fake: FakeStripe):
    customer, card = saved(fake, "4000000000000341")
    body = f"{CHARGE}&customer={customer}&payment_method={card}&metadata[command]=x"
    first = ask(fake, "POST", "/v1/payment_intents", body, idempotency_key="k")
    assert (first[0], first[1]["error"]["decline_code"]) == (402, "generic_decline")
    assert ask(fake, "POST", "/v1/payment_intents", body, idempotency_key="k") == first
    intent = first[1]["error"]["payment_intent"]
    found = ask(fake, "GET", "/v1/payment_intents/search?query=metadata['command']:'x'")[1]["data"]
    assert [row["id"] for row in found] == [intent["id"]]
    assert not [name for name in intent if name.startswith("_")]
    assert ask(fake, "GET", f"/v1/payment_intents/{intent['id']}")[1]["status"] == "requires_payment_method"


@pytest.mark.parametrize("wrong", ["detached", "of another", "on session", "redirects", "amount"])
def test_charges_that_stripe_would_refuse(fake: FakeStripe, wrong: str):
    customer, card = saved(fake)
    body = f"{CHARGE}&customer={customer}&payment_method={card}"
    if wrong == "detached":
        assert ask(fake, "POST", f"/v1/payment_methods/{card}/detach")[1]["customer"] is None
        assert ask(fake, "POST", f"/v1/payment_methods/{card}/detach")[0] == 400
    elif wrong == "of another":
        body = body.replace(customer, saved(fake)[0])
    elif wrong == "on session":
        body = body.replace("off_session=true", "off_session=false")
    elif wrong == "redirects":
        body = body.replace("=never", "=always")
    else:
        body = body.replace("amount=5000", "amount=10")
    assert ask(fake, "POST", "/v1/payment_intents", body)[0] == 400
    assert ask(fake, "GET", "/v1/payment_intents")[1]["data"] == []


def test_a_card_is_known_by_its_fingerprint_and_never_by_its_number(fake: FakeStripe):
    (_, first), (_, second) = saved(fake), saved(fake)
    cards = [ask(fake, "GET", f"/v1/payment_methods/{card}")[1] for card in (first, second)]
    assert cards[0]["card"]["fingerprint"] == cards[1]["card"]["fingerprint"]
    assert "424242424242" not in repr(cards)


def test_the_desk_settles_charges_that_wait(fake: FakeStripe):
    customer, account = saved(fake, "000123456789")
    body = f"{CHARGE}&customer={customer}&payment_method={account}"
    intent = ask(fake, "POST", "/v1/payment_intents", body)[1]
    assert intent["status"] == "processing"
    pages, path = Pages(fake), f"/c/charge/{intent['id']}/settle"
    assert path in pages.show("GET", "/", {}).body
    assert pages.show("POST", path, {"answer": "yes"}).status == 303
    assert ask(fake, "GET", f"/v1/payment_intents/{intent['id']}")[1]["status"] == "succeeded"
    assert pages.show("POST", path, {"answer": "yes"}).status == 410
    assert path not in pages.show("GET", "/", {}).body
