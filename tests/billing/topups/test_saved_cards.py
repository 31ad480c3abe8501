"""Saved cards: saved on a page of their own or with a payment; the default card, the same card twice, and removal."""

import pytest

from accounts.models import AuditEvent, Mail
from billing.ledger import posting
from billing.models import AutoRecharge, LedgerTransfer, SavedCard, StripeCommand
from billing.stripe import outbox, sweeps
from billing.topups import saved_cards, top_ups
from billing.topups.saved_cards import CardMismatch
from core.errors import Conflict, DomainError, InvalidInput
from marketplace.local.fake_stripe.setups import Setups
from tests.billing.helpers import make_organization, number, sqlstate_of
from tests.billing.topups.helpers import recharge, save_card
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db
MASTERCARD = "5555555555554444"


def start(organization, key: str = "") -> SavedCard:
    card = saved_cards.start(
        organization=organization, idempotency_key=key or f"k{number()}", site_url="http://testserver", actor=None
    )
    saved_cards.open_page(card)
    card.refresh_from_db()
    return card


def save(stripe: FakeWorld, card: SavedCard, number: str = "4242424242424242") -> str:
    return Setups(stripe.fake.payments).save(card.session_id, number)


def methods(stripe: FakeWorld) -> list[str]:
    """Return the ids of all payment methods that are attached to customers at Stripe."""
    return [row["id"] for row in stripe.fake.store.newest("payment_method") if row["customer"]]


def pay_and_keep(stripe: FakeWorld, organization, number: str = "4242424242424242"):
    top_up = top_ups.start(
        organization=organization,
        amount_micro=50_000_000,
        idempotency_key=f"k{id(object())}",
        actor=None,
        site_url="http://testserver",
        saves_card=True,
    )
    top_ups.open_page(top_up)
    stripe.pay(top_up, number)
    return top_up


@pytest.mark.parametrize("way", ["webhook", "return page", "sweep"])
def test_however_we_hear_of_it_the_card_is_there_once(stripe: FakeWorld, way: str):
    organization = make_organization()
    card = start(organization)
    assert (card.status, bool(card.checkout_url)) == ("pending", True)
    assert save(stripe, card) == "saved"
    for _ in range(2):
        if way == "webhook":
            stripe.deliver_all()
        elif way == "return page":
            saved_cards.refresh(SavedCard.objects.get())
        else:
            sweeps.sweep_events()
        stripe.run()
    (saved,) = saved_cards.cards_of(organization)
    assert (saved.brand, saved.last4, saved.exp_month, saved.is_default) == ("visa", "4242", 12, True)
    assert AuditEvent.objects.filter(action="wallet.card_saved").count() == 1
    assert [event.to_status for event in saved.events.all()] == ["pending", "active"]


def test_a_refused_card_leaves_the_page_open_and_an_expired_page_fails(stripe: FakeWorld):
    card = start(make_organization())
    assert save(stripe, card, "4000000000000002") == "generic_decline"
    assert saved_cards.refresh(card).status == "pending"
    stripe.fake.payments.expire(card.session_id)
    stripe.deliver_all()
    stripe.run()
    card.refresh_from_db()
    assert (card.status, card.status_code) == ("failed", "page_expired")


def test_a_bank_that_asks_when_the_card_is_saved(stripe: FakeWorld):
    card = start(make_organization())
    assert save(stripe, card, "4000002760003184") == "asks"
    assert saved_cards.refresh(card).status == "pending"
    assert Setups(stripe.fake.payments).answer_bank(card.session_id, passed=True) == "saved"
    assert saved_cards.refresh(card).status == "active"


@pytest.mark.parametrize("fault", ["lost", "broken", "busy"])
def test_an_attempt_that_went_wrong_makes_one_page(stripe: FakeWorld, fault: str):
    stripe.transport.faults = ["", fault]
    card = start(make_organization())
    assert not card.checkout_url
    stripe.run()
    card.refresh_from_db()
    assert (card.status, bool(card.checkout_url), len(stripe.sessions())) == ("pending", True, 1)


def test_the_same_key_is_one_page_and_pages_are_not_without_end(stripe: FakeWorld):
    organization = make_organization()
    assert start(organization, "k") == start(organization, "k")
    for _ in range(saved_cards.PAGES_MAX - 1):
        start(organization)
    with pytest.raises(Conflict) as caught:
        start(organization)
    assert caught.value.code == "too_many_open"


def test_without_a_key_nothing_is_asked_of_stripe(stripe: FakeWorld, settings):
    settings.STRIPE_SECRET_KEY = ""
    with pytest.raises(InvalidInput) as caught:
        start(make_organization())
    assert caught.value.code == "card_off"


def test_a_page_of_another_saves_nothing(stripe: FakeWorld):
    card = start(make_organization())
    save(stripe, card)
    (session,) = stripe.sessions()
    stripe.fake.store.put({**session, "customer": "cus_other"})
    with pytest.raises(CardMismatch):
        saved_cards.refresh(card)


def test_a_payment_keeps_its_card_only_when_asked_to(stripe: FakeWorld):
    organization = make_organization()
    top_up = pay_and_keep(stripe, organization)
    for _ in range(2):
        stripe.deliver_all()
        stripe.run()
    assert [card.last4 for card in saved_cards.cards_of(organization)] == ["4242"]
    assert len(methods(stripe)) == 1
    top_up.refresh_from_db()
    assert top_up.status == "paid"
    with pytest.raises(Conflict):  # other values under the same key
        top_ups.start(
            organization=organization,
            amount_micro=50_000_000,
            idempotency_key=top_up.idempotency_key,
            actor=None,
            site_url="",
            saves_card=False,
        )


def test_when_the_card_cannot_be_looked_up_the_money_is_there_and_the_card_follows(stripe: FakeWorld):
    organization = make_organization()
    top_up = pay_and_keep(stripe, organization)
    top_up.refresh_from_db()
    stripe.transport.faults = ["", "broken"]
    with pytest.raises(DomainError):
        top_ups.refresh(top_up)
    top_up.refresh_from_db()
    assert (top_up.status, saved_cards.cards_of(organization)) == ("paid", [])
    stripe.deliver_all()
    stripe.run()
    assert len(saved_cards.cards_of(organization)) == 1


def test_the_same_card_twice_is_shown_once_and_its_recharge_goes_on(stripe: FakeWorld):
    organization = make_organization()
    first = save_card(stripe, organization)
    recharge(organization, first)
    second = save_card(stripe, organization, MASTERCARD)
    pay_and_keep(stripe, organization)
    stripe.deliver_all()
    stripe.run()
    cards = saved_cards.cards_of(organization)
    assert [(card.last4, card.is_default) for card in cards] == [("4242", True), ("4444", False)]
    assert first not in cards
    assert second in cards
    auto_recharge = AutoRecharge.objects.get()
    assert (auto_recharge.card, auto_recharge.paused_code) == (cards[0], "")
    stripe.run()
    assert len(methods(stripe)) == 2
    first.refresh_from_db()
    assert (first.status, first.status_code) == ("removed", "saved_again")


def test_one_is_the_default(stripe: FakeWorld):
    organization = make_organization()
    first, second = save_card(stripe, organization), save_card(stripe, organization, MASTERCARD)
    saved_cards.make_default(card=second, actor=None)
    assert saved_cards.cards_of(organization) == [second, first]
    saved_cards.remove(card=second, actor=None)
    (left,) = saved_cards.cards_of(organization)
    assert (left, left.is_default) == (first, True)
    with pytest.raises(Conflict) as caught:
        saved_cards.make_default(card=second, actor=None)
    assert caught.value.code == "card_not_saved"


def test_a_removed_card_is_gone_at_stripe_too_and_the_books_stay(stripe: FakeWorld):
    organization = make_organization()
    pay_and_keep(stripe, organization)
    stripe.deliver_all()
    stripe.run()
    (card,) = saved_cards.cards_of(organization)
    transfers = LedgerTransfer.objects.count()
    for _ in range(2):
        saved_cards.remove(card=card, actor=None)
    stripe.transport.faults = ["lost"]
    stripe.run()
    stripe.deliver_all()
    stripe.run()
    assert methods(stripe) == saved_cards.cards_of(organization) == []
    assert set(StripeCommand.objects.values_list("status", flat=True)) == {"done"}
    assert (LedgerTransfer.objects.count(), posting.recompute()) == (transfers, [])


def test_a_card_that_was_let_go_elsewhere_is_as_good_as_removed(stripe: FakeWorld):
    organization = make_organization()
    card = save_card(stripe, organization)
    (method,) = stripe.fake.store.newest("payment_method")
    stripe.fake.emitter.changed("payment_method.detached", {**method, "customer": None})
    saved_cards.remove(card=card, actor=None)
    stripe.run()
    assert StripeCommand.objects.get(kind="detach_card").status == "done"


def test_without_its_card_a_recharge_is_paused_and_its_people_are_told(stripe: FakeWorld):
    from tests import factories

    organization = factories.make_organization()
    card = save_card(stripe, organization)
    recharge(organization, card)
    (method,) = stripe.fake.store.newest("payment_method")
    stripe.fake.emitter.changed("payment_method.detached", {**method, "customer": None})
    for _ in range(2):
        stripe.deliver_all()
        stripe.run()
    row = AutoRecharge.objects.get()
    assert (row.is_on, row.paused_code, bool(row.paused_at)) == (True, "card_removed", True)
    assert Mail.objects.filter(kind="recharge-paused").count() == 1


def test_a_bank_may_send_another_expiry_date(stripe: FakeWorld):
    organization = make_organization()
    save_card(stripe, organization)
    (method,) = stripe.fake.store.newest("payment_method")
    method["card"] |= {"exp_month": 7, "exp_year": 2033}
    stripe.fake.emitter.changed("payment_method.automatically_updated", method)
    stripe.deliver_all()
    stripe.run()
    (card,) = saved_cards.cards_of(organization)
    assert (card.exp_month, card.exp_year) == (7, 2033)


def test_no_number_and_no_fingerprint_is_kept(stripe: FakeWorld):
    card = save_card(stripe, make_organization())
    text = repr({field.name: getattr(card, field.name) for field in SavedCard._meta.concrete_fields})
    (method,) = stripe.fake.store.newest("payment_method")
    assert "424242424242" not in text
    assert method["card"]["fingerprint"] not in text


def test_what_the_database_refuses(stripe: FakeWorld):
    organization = make_organization()
    card = save_card(stripe, organization)
    save_card(stripe, organization, MASTERCARD)
    recharge(organization, card)
    assert sqlstate_of("UPDATE billing_savedcard SET payment_method_id = 'pm_other' || id") == "DW002"
    assert sqlstate_of("UPDATE billing_savedcard SET is_default = true") == "23505"
    assert sqlstate_of("UPDATE billing_savedcard SET status = 'pending'") == "DW001"
    other = make_organization()
    assert sqlstate_of("UPDATE billing_autorecharge SET organization_id = %s", [other.pk]) == "DW007"


def test_a_page_that_cannot_be_made_fails_and_says_why(stripe: FakeWorld):
    stripe.transport.faults = ["", "refused"]
    card = start(make_organization())
    assert (card.status, card.status_code) == ("failed", "stripe_refused")
    assert outbox.send_due() == 0
