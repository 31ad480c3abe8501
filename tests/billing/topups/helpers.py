from billing.models import AutoRecharge, CardTopUp, SavedCard
from billing.topups import recharge_settings, saved_cards, top_ups
from marketplace.local.fake_stripe.setups import Setups
from tests import factories
from tests.billing.helpers import number as count
from tests.conformance.fixture import FakeWorld


def start(organization, amount_micro: int = 50_000_000, key: str = "") -> CardTopUp:
    """Start a top-up and send its commands at once, as a page does."""
    top_up = ask(organization, amount_micro, key)
    top_ups.open_page(top_up)
    top_up.refresh_from_db()
    return top_up


def ask(organization, amount_micro: int = 50_000_000, key: str = "", saves_card: bool = False) -> CardTopUp:
    """Start a top-up without sending its commands."""
    return top_ups.start(
        organization=organization,
        amount_micro=amount_micro,
        idempotency_key=key or f"k{count()}",
        site_url="http://testserver",
        actor=None,
        saves_card=saves_card,
    )


def save_card(stripe: FakeWorld, organization, number: str = "4242424242424242") -> SavedCard:
    """Save a card on Stripe's page, answer the bank's question if it asks, and return the active card."""
    card = saved_cards.start(
        organization=organization, idempotency_key=f"k{count()}", site_url="http://testserver", actor=None
    )
    saved_cards.open_page(card)
    card.refresh_from_db()
    setups = Setups(stripe.fake.payments)
    if setups.save(card.session_id, number) == "asks":
        setups.answer_bank(card.session_id, passed=True)
    saved_cards.refresh(card)
    card.refresh_from_db()
    return card


def recharging(stripe: FakeWorld, number: str = "4242424242424242", **values) -> AutoRecharge:
    """Make a customer with an empty wallet and a recharge of 50.00 below 20.00, at most 200.00 a month."""
    organization = factories.make_organization()
    return recharge(organization, save_card(stripe, organization, number), **values)


def recharge(organization, card, **values) -> AutoRecharge:
    wanted = {
        "is_on": True,
        "threshold_micro": 20_000_000,
        "amount_micro": 50_000_000,
        "monthly_cap_micro": 200_000_000,
        **values,
    }
    return recharge_settings.change(organization=organization, card_id=card.public_id, actor=None, **wanted)
