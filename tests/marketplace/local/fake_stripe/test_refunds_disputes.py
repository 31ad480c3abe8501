"""The fake is as strict as Stripe about refunds and disputes, and its desk works."""

import re

import pytest

from billing.stripe import gateway
from billing.stripe.gateway import StripeMissing, StripeRefused
from marketplace.local.fake_stripe.pages import Pages
from tests.billing.refunds.helpers import charge_of, customer, dispute_desk, pay, refund_desk
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


def refund(**params):
    return gateway.create_refund({"amount": 5000, **params}, idempotency_key=f"test:{len(str(params))}:{params}"[:200])


def test_it_refunds_no_more_than_was_paid_and_nothing_that_a_bank_took(stripe: FakeWorld):
    lot = pay(stripe, customer())
    other = pay(stripe, customer())
    payment = {"payment_intent": lot.reference}
    assert refund(**payment, amount=3000).status == "succeeded"
    with pytest.raises(StripeRefused, match="greater than what is left"):
        refund(**payment, amount=2001)
    refund(**payment, amount=2000)
    with pytest.raises(StripeRefused, match="already been refunded"):
        refund(**payment, amount=1)
    with pytest.raises(StripeMissing):
        refund(payment_intent="pi_none")
    dispute_desk(stripe).open(charge_of(stripe, other))
    with pytest.raises(StripeRefused, match="charged back"):
        refund(payment_intent=other.reference)
    booked = [row for row in stripe.fake.store.newest("balance_transaction") if row["type"] == "refund"]
    assert [row["net"] for row in booked] == [-2000, -3000]


def test_a_failed_refund_leaves_the_charge_to_be_refunded_again(stripe: FakeWorld):
    lot = pay(stripe, customer())
    created = refund(payment_intent=lot.reference)
    refund_desk(stripe).fail(created.id)
    retrieved = gateway.retrieve_refund(created.id)
    assert (retrieved.status, [row.type for row in retrieved.movements]) == ("failed", ["refund", "refund_failure"])
    assert refund(payment_intent=lot.reference, amount=4999).status == "succeeded"


def test_the_bank_hears_evidence_only_while_it_waits(stripe: FakeWorld):
    lot = pay(stripe, customer())
    desk = dispute_desk(stripe)
    dispute_id = desk.open(charge_of(stripe, lot))
    evidence = {"evidence": {"uncategorized_text": "losing_evidence"}, "submit": True}
    assert gateway.submit_evidence(dispute_id, evidence, idempotency_key="test:a").status == "lost"
    with pytest.raises(StripeRefused, match="takes no evidence"):
        gateway.submit_evidence(dispute_id, evidence, idempotency_key="test:b")
    desk.decide(dispute_id, won=True)
    assert [row.amount_minor for row in gateway.retrieve_dispute(dispute_id).movements] == [-5000, 5000]


def test_a_card_is_named_as_its_holder_knows_it(stripe: FakeWorld):
    assert gateway.source_of_payment(pay(stripe, customer()).reference) == "Visa 4242"


def test_the_desk_shows_everything_and_its_buttons_work(stripe: FakeWorld):
    lot = pay(stripe, customer(), card="4000000000007726")
    pages = Pages(stripe.fake)

    def press(label: str) -> int:
        desk = pages.show("GET", "/", {}).body
        action = re.search(rf'action="([^"]+)"><button class="plain">{label}<', desk)
        assert action, label
        return pages.show("POST", action[1], {}).status

    refund(payment_intent=lot.reference, amount=1000)
    steps = ["succeed", "fail", "let the bank ask", "take the money", "lost", "won after all"]
    assert [press(label) for label in steps] == [303] * 6
    desk = pages.show("GET", "/", {}).body
    for words in ("Payments", "Refunds", "Disputes", "50.00 USD", "won"):
        assert words in desk
    assert pages.show("POST", f"/desk/dispute/{charge_of(stripe, lot)}", {}).status == 409
    assert pages.show("POST", "/desk/explode/x", {}).status == 404
    assert pages.show("GET", f"/desk/dispute/{charge_of(stripe, lot)}", {}).status == 404
