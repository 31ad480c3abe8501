"""The fake is as strict as Stripe about keys, idempotency, lists, and the pages that a person clicks through."""

import json
from typing import Any

import pytest

from marketplace.local.fake_stripe import Chaos, FakeStripe
from marketplace.local.fake_stripe.pages import Pages
from marketplace.local.fake_stripe.webhooks import RETRIES

HEADERS = {"authorization": "Bearer sk_test_fake_1"}


def ask(fake: FakeStripe, method: str, url: str, body: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
    """Send a request and return (status, decoded body)."""
    answer = fake.handle(
        method, url, HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}, body
    )
    return answer.status, json.loads(answer.body)


def open_session(fake: FakeStripe) -> str:
    """Create a Checkout session of 50 USD and return its id."""
    line = "line_items[0][price_data][unit_amount]=5000&line_items[0][price_data][currency]=usd"
    name = "line_items[0][price_data][product_data][name]=Wallet"
    body = f"mode=payment&ui_mode=hosted_page&success_url=http://s/done&cancel_url=http://s/left&{line}&{name}"
    return ask(fake, "POST", "/v1/checkout/sessions", body)[1]["id"]


@pytest.mark.parametrize("key", ["", "Bearer sk_live_1", "Bearer sk_test_1"])
def test_it_takes_no_real_key(key: str):
    assert ask(FakeStripe(), "GET", "/v1/events", authorization=key)[0] == 401


def test_a_key_is_done_once_and_never_for_something_else():
    fake = FakeStripe()
    first = ask(fake, "POST", "/v1/customers", "name=a&metadata[x]=1", idempotency_key="k")
    assert ask(fake, "POST", "/v1/customers", "metadata[x]=1&name=a", idempotency_key="k") == first
    status, error = ask(fake, "POST", "/v1/customers", "name=b", idempotency_key="k")
    assert (status, error["error"]["type"]) == (400, "idempotency_error")
    assert len(list(fake.store.newest("customer"))) == 1


def test_what_was_refused_before_it_began_leaves_the_key_free():
    fake = FakeStripe()
    assert ask(fake, "POST", "/v1/customers", "nmae=a", idempotency_key="k")[0] == 400
    assert ask(fake, "POST", "/v1/customers", "name=a", idempotency_key="k")[0] == 200


def test_state_and_keys_survive_a_restart(tmp_path):
    path = str(tmp_path / "objects.sqlite")
    first = ask(FakeStripe(path), "POST", "/v1/customers", "name=a", idempotency_key="k")
    assert ask(FakeStripe(path), "POST", "/v1/customers", "name=a", idempotency_key="k") == first


def test_lists_are_paged_newest_first():
    fake = FakeStripe()
    for name in "abcde":
        ask(fake, "POST", "/v1/customers", f"name={name}")
    seen, after = [], ""
    while True:
        _, page = ask(fake, "GET", f"/v1/events?limit=2{after}")
        seen += [event["data"]["object"]["name"] for event in page["data"]]
        if not page["has_more"]:
            break
        after = f"&starting_after={page['data'][-1]['id']}"
    assert "".join(seen) == "edcba"
    assert ask(fake, "GET", "/v1/events?limit=101")[0] == 400
    assert ask(fake, "GET", "/v1/events?starting_after=evt_x")[0] == 404
    assert ask(fake, "GET", "/v1/nothing")[0] == 404


def test_a_person_pays_after_a_refusal_and_cannot_pay_twice():
    fake = FakeStripe()
    pages, session = Pages(fake), open_session(fake)
    assert "50.00 USD" in pages.show("GET", f"/c/pay/{session}", {}).body
    assert "Your card was declined." in pages.show("POST", f"/c/pay/{session}", {"number": "4000000000000002"}).body
    assert "incorrect" in pages.show("POST", f"/c/pay/{session}", {"number": "1234"}).body
    assert "is it you?" in pages.show("POST", f"/c/pay/{session}", {"number": "4000002500003155"}).body
    answer = pages.show("POST", f"/c/pay/{session}/bank", {"answer": "yes"})
    assert (answer.status, answer.headers["Location"]) == (303, "http://s/done")
    assert pages.show("POST", f"/c/pay/{session}", {"number": "4242424242424242"}).status == 410
    assert pages.show("GET", "/c/pay/cs_test_none", {}).status == 404


def test_the_desk_settles_and_expires():
    fake = FakeStripe()
    pages, debit, left = Pages(fake), open_session(fake), open_session(fake)
    pages.show("POST", f"/c/pay/{debit}", {"number": "000123456789"})
    assert "bounce" in pages.show("GET", "/", {}).body
    pages.show("POST", f"/c/pay/{debit}/settle", {"answer": "yes"})
    pages.show("POST", f"/c/pay/{left}/expire", {})
    assert fake.store.get(debit)["payment_status"] == "paid"
    assert fake.store.get(left)["status"] == "expired"


def test_pages_expire_by_themselves():
    moment = [1_000_000.0]
    fake = FakeStripe(clock=lambda: moment[0])
    session = open_session(fake)
    moment[0] += 86_401
    assert ask(fake, "GET", f"/v1/checkout/sessions/{session}")[1]["status"] == "expired"


def test_deliveries_go_wrong_as_told():
    fake = FakeStripe(clock=lambda: 100.0)
    deliveries = fake.emitter.deliveries
    deliveries.chaos = Chaos(copies=3, delay_max_s=10)
    ask(fake, "POST", "/v1/customers", "name=a")
    assert deliveries.due(99.0) == []
    due = deliveries.due(111.0)
    assert len(due) == 3
    deliveries.ended(due[0], ok=True, now=111)
    for _ in range(RETRIES):
        for delivery in deliveries.due(10**9):
            deliveries.ended(delivery, ok=False, now=111)
    assert deliveries.due(10**9) == []
    deliveries.chaos = Chaos(lost_permille=1000)
    ask(fake, "POST", "/v1/customers", "name=b")
    assert deliveries.due(10**9) == []
