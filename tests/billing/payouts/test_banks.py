"""Payouts on the way from the owner's account at Stripe to the owner's bank: events in any order, and late refusals."""

import random

import pytest

from accounts.models import Mail
from billing.models import ConnectedAccount, Payout, StripeEvent
from billing.payouts import bank, payouts
from billing.stripe import inbox
from marketplace.local.fake_stripe.payees import BANK_REFUSES, Payees
from tests.billing.payouts.helpers import fund, make_payout, ready_owner
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


@pytest.fixture
def banks(stripe: FakeWorld) -> Payees:
    fund(stripe)
    return Payees(stripe.fake.emitter)


def paid(stripe: FakeWorld, owner) -> tuple[Payout, str]:
    """Return a paid payout of the owner, and the id of the owner's account at Stripe."""
    payout = make_payout(owner)
    payouts.send_due()
    stripe.run()
    payout.refresh_from_db()
    return payout, str(payout.account.stripe_id)


def bank_state(stripe: FakeWorld, payout: Payout) -> tuple[str, str]:
    """Process the events that Stripe has sent, and return the payout's bank status and code."""
    stripe.deliver_all()
    inbox.process_due()
    payout.refresh_from_db()
    return payout.bank_status, payout.bank_code


def test_at_the_bank(stripe: FakeWorld, banks: Payees):
    payout, account_id = paid(stripe, ready_owner(stripe))
    banks.pay_bank(account_id)
    assert bank_state(stripe, payout) == ("paid", "")
    assert all(row.account_id == account_id for row in StripeEvent.objects.filter(type__startswith="payout."))


def test_a_bank_that_refuses_and_then_does_not(stripe: FakeWorld, banks: Payees):
    payout, account_id = paid(stripe, ready_owner(stripe, bank=BANK_REFUSES))
    banks.pay_bank(account_id)
    assert bank_state(stripe, payout) == ("failed", "account_closed")
    assert Mail.objects.filter(kind="payout-bank-failed").count() == 1
    banks.onboard(account_id, name="A", bank="000123456789", outcome="ready")
    (second,) = banks.pay_bank(account_id)
    assert bank_state(stripe, payout) == ("paid", "")
    banks.settle_bank(second["id"], paid=False)  # days later the bank sends it back
    assert bank_state(stripe, payout) == ("failed", "account_closed")
    assert Mail.objects.filter(kind="payout-bank-failed").count() == 2


@pytest.mark.parametrize("seed", range(4))
def test_any_order_ends_where_stripe_is(stripe: FakeWorld, banks: Payees, seed: int):
    payout, account_id = paid(stripe, ready_owner(stripe, bank=BANK_REFUSES))
    banks.pay_bank(account_id)
    banks.onboard(account_id, name="A", bank="000123456789", outcome="ready")
    banks.pay_bank(account_id)
    events = stripe.events("payout.") * 2
    random.Random(seed).shuffle(events)
    for event in events:
        assert stripe.deliver(event) == 200
        inbox.process_due()
    payout.refresh_from_db()
    assert payout.bank_status == "paid"


def test_one_payment_to_the_bank_carries_all_that_was_there(stripe: FakeWorld, banks: Payees):
    owner = ready_owner(stripe)
    first, account_id = paid(stripe, owner)
    second, _ = paid(stripe, owner)
    banks.pay_bank(account_id)
    assert (bank_state(stripe, first)[0], bank_state(stripe, second)[0]) == ("paid", "paid")
    clock = stripe.fake.emitter.clock
    stripe.fake.emitter.clock = lambda: clock() + 60
    third, _ = paid(stripe, owner)
    assert bank_state(stripe, third)[0] == "pending"


def test_the_bank_may_be_quicker_than_we_write(stripe: FakeWorld, banks: Payees):
    owner = ready_owner(stripe)
    payout = make_payout(owner)
    payouts.send_due()
    stripe.transport.faults = ["lost"]
    stripe.run()
    banks.pay_bank(ConnectedAccount.objects.get(owner=owner).stripe_id)
    stripe.transport.faults = []
    stripe.deliver_all()
    inbox.process_due()
    assert StripeEvent.objects.filter(type="payout.paid", status="received").exists()
    stripe.run()
    assert bank_state(stripe, payout)[0] == "paid"


def test_what_webhooks_lost_is_asked_for(stripe: FakeWorld, banks: Payees):
    payout, account_id = paid(stripe, ready_owner(stripe))
    assert bank.refresh_open() == 1
    banks.pay_bank(account_id)
    bank.refresh_open()
    payout.refresh_from_db()
    assert payout.bank_status == "paid"
    assert bank.refresh_open() == 0


def test_a_strangers_account_is_none_of_ours(stripe: FakeWorld, banks: Payees):
    _, account_id = paid(stripe, ready_owner(stripe))
    banks.pay_bank(account_id)
    (event,) = stripe.events("payout.paid")
    stripe.deliver({**event, "account": "acct_stranger"})
    inbox.process_due()
    assert StripeEvent.objects.get(account_id="acct_stranger").status_code == "not_ours"
