"""Top-ups by card, from the request to the money in the wallet, with every way that Stripe's page can end."""

import pytest

from accounts.models import AuditEvent
from billing.ledger import posting
from billing.models import BalanceTransaction, CardTopUp, LedgerTransfer, StripeCommand, TopUp
from billing.stripe import inbox, sweeps
from billing.topups import top_ups
from billing.topups.top_ups import SessionMismatch
from billing.wallet import wallets
from core.errors import Conflict, InvalidInput
from tests.billing.helpers import make_organization
from tests.billing.topups.helpers import ask, start
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


def settled(stripe: FakeWorld, top_up: CardTopUp) -> CardTopUp:
    stripe.deliver_all()
    inbox.process_due()
    top_up.refresh_from_db()
    assert posting.recompute() == []
    return top_up


def test_a_card_payment_ends_in_the_wallet_and_its_fee_in_our_expenses(stripe: FakeWorld):
    organization = make_organization()
    top_up = start(organization)
    assert (top_up.status, bool(top_up.page_url)) == ("open", True)
    assert wallets.summary(organization).balance_micro == 0
    assert stripe.pay(top_up) == "paid"
    assert settled(stripe, top_up).status == "paid"
    assert wallets.summary(organization).available_micro == 50_000_000
    fee = LedgerTransfer.objects.get(kind="fee")
    assert (fee.amount_micro, fee.debit.kind, fee.credit.kind) == (1_750_000, "processing_fee", "stripe_clearing")
    assert BalanceTransaction.objects.get().net_micro == 48_250_000
    assert [event.to_status for event in top_up.events.all()] == ["created", "open", "paid"]
    assert AuditEvent.objects.filter(action="wallet.card_top_up").count() == 1


def test_webhook_redirect_and_listing_together_credit_once(stripe: FakeWorld):
    organization = make_organization()
    top_up = start(organization)
    stripe.pay(top_up)
    for _ in range(2):
        top_ups.refresh(CardTopUp.objects.get())
        settled(stripe, top_up)
        sweeps.sweep_events()
        sweeps.sweep_balance()
        inbox.process_due()
    assert wallets.summary(organization).balance_micro == 50_000_000
    assert (TopUp.objects.count(), LedgerTransfer.objects.count(), BalanceTransaction.objects.count()) == (1, 2, 1)


def test_every_webhook_may_be_lost(stripe: FakeWorld):
    organization = make_organization()
    stripe.pay(start(organization))
    first, second = sweeps.sweep_events(), sweeps.sweep_events()
    assert (first.missing, second.missing) == (first.listed, 0)
    inbox.process_due()
    assert wallets.summary(organization).balance_micro == 50_000_000


def test_a_refused_card_leaves_the_page_open_and_says_why(stripe: FakeWorld):
    top_up = start(make_organization())
    assert stripe.pay(top_up, "4000 0000 0000 0002") == "generic_decline"
    settled(stripe, top_up)
    assert (top_up.status, top_up.declined_code) == ("open", "generic_decline")
    assert stripe.pay(top_up) == "paid"
    assert settled(stripe, top_up).status == "paid"


@pytest.mark.parametrize(("passed", "status"), [(True, "paid"), (False, "open")])
def test_a_bank_that_asks(stripe: FakeWorld, passed: bool, status: str):
    top_up = start(make_organization())
    assert stripe.pay(top_up, "4000002500003155") == "asks"
    assert settled(stripe, top_up).status == "open"
    stripe.fake.payments.answer_bank(top_up.session_id, passed=passed)
    assert settled(stripe, top_up).status == status


@pytest.mark.parametrize(("paid", "status", "micro"), [(True, "paid", 50_000_000), (False, "failed", 0)])
def test_a_bank_debit_takes_its_time(stripe: FakeWorld, paid: bool, status: str, micro: int):
    organization = make_organization()
    top_up = start(organization)
    assert stripe.pay(top_up, "000123456789") == "processing"
    assert settled(stripe, top_up).status == "processing"
    assert wallets.summary(organization).balance_micro == 0
    stripe.fake.payments.settle(top_up.session_id, paid=paid)
    assert settled(stripe, top_up).status == status
    assert wallets.summary(organization).balance_micro == micro


def test_a_page_that_nobody_paid_on_expires(stripe: FakeWorld):
    top_up = start(make_organization())
    stripe.fake.payments.expire(top_up.session_id)
    assert settled(stripe, top_up).status == "expired"
    assert top_up.page_url == ""


def test_a_fee_that_is_known_later_is_posted_then(stripe: FakeWorld):
    stripe.fake.payments.book_later = True
    top_up = start(make_organization())
    stripe.pay(top_up)
    assert settled(stripe, top_up).status == "paid"
    assert not LedgerTransfer.objects.filter(kind="fee").exists()
    stripe.fake.payments.book()
    settled(stripe, top_up)
    assert LedgerTransfer.objects.get(kind="fee").amount_micro == 1_750_000


def test_a_payment_for_another_sum_is_not_credited(stripe: FakeWorld):
    organization = make_organization()
    top_up = start(organization)
    session = stripe.sessions()[0]
    stripe.fake.store.put({**session, "amount_total": 1_00})
    stripe.pay(top_up)
    with pytest.raises(SessionMismatch):
        top_ups.refresh(top_up)
    assert wallets.summary(organization).balance_micro == 0


def test_the_same_key_is_one_top_up(stripe: FakeWorld):
    organization = make_organization()
    assert start(organization, key="k") == start(organization, key="k")
    assert (len(stripe.sessions()), StripeCommand.objects.count()) == (1, 2)
    with pytest.raises(Conflict) as caught:
        start(organization, 60_000_000, key="k")
    assert caught.value.code == "idempotency_conflict"


def test_one_customer_at_stripe_for_each_organization(stripe: FakeWorld):
    first, second = make_organization(), make_organization()
    for organization in (first, first, second):
        start(organization)
    assert len({session["customer"] for session in stripe.sessions()}) == 2
    assert len(list(stripe.fake.store.newest("customer"))) == 2


@pytest.mark.parametrize(
    ("amount_micro", "code"),
    [(4_990_000, "amount_too_small"), (2_000_010_000, "amount_too_large"), (10_000_001, "amount_not_whole")],
)
def test_amounts_that_are_refused(stripe: FakeWorld, amount_micro: int, code: str):
    with pytest.raises(InvalidInput) as caught:
        ask(make_organization(), amount_micro)
    assert caught.value.code == code
    assert CardTopUp.objects.count() == StripeCommand.objects.count() == 0


def test_without_a_key_nothing_is_asked_of_stripe(stripe: FakeWorld, settings):
    settings.STRIPE_SECRET_KEY = ""
    with pytest.raises(InvalidInput) as caught:
        ask(make_organization())
    assert caught.value.code == "card_off"


def test_nobody_opens_pages_without_end(stripe: FakeWorld, monkeypatch):
    monkeypatch.setattr(top_ups, "OPEN_MAX", 2)
    organization = make_organization()
    last = [start(organization) for _ in range(2)][-1]
    with pytest.raises(Conflict) as caught:
        ask(organization)
    assert caught.value.code == "too_many_open"
    assert ask(organization, key=last.idempotency_key) == last
