"""Rate cards: which one is in force, the default prices, and the rules of the database."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.models import RateCard
from billing.rates import formula as rating
from billing.rates.cards import default_rates
from billing.rates.selectors import cards_in_force, in_force, price_list
from tests.billing.helpers import make_card, make_class, sqlstate_of

pytestmark = pytest.mark.django_db


def test_the_newest_card_that_has_begun_is_in_force():
    hardware_class, now = make_class(), timezone.now()
    old, new, next_year = (
        make_card(hardware_class, price=price, valid_from_at=now + timedelta(days=days))
        for price, days in [(1_000, -20), (2_000, -10), (3_000, 365)]
    )
    assert in_force(hardware_class, now) == new
    assert in_force(hardware_class, new.valid_from_at) == new
    assert in_force(hardware_class, new.valid_from_at - timedelta(microseconds=1)) == old
    assert in_force(hardware_class, now + timedelta(days=366)) == next_year
    assert in_force(hardware_class, now - timedelta(days=21)) is None
    assert in_force(hardware_class, now, currency="EUR") is None


def test_one_card_for_each_class():
    first, second, _bare = make_class(), make_class(), make_class()
    for hardware_class in (first, second):
        make_card(hardware_class, price=1_000, valid_from_at=timezone.now() - timedelta(days=9))
        make_card(hardware_class, price=2_000)
    cards = cards_in_force([first, second, _bare], timezone.now())
    assert {card.hardware_class: card.price_micro_per_hour for card in cards} == {first: 2_000, second: 2_000}


def test_a_class_without_a_card_gets_the_default_one_once():
    bare, priced = make_class(), make_class()
    make_card(priced, price=5)
    assert [default_rates(), default_rates()] == [7, 0], "all four of the one, three of the other"
    card = in_force(bare, timezone.now())
    assert (card.price_micro_per_hour, card.price_micro_per_kwh, card.owner_micro_per_hour) == (97_000, 200_000, 67_900)
    assert RateCard.objects.count() == 8
    assert in_force(priced, timezone.now()).price_micro_per_hour == 5


def test_the_default_prices_hold_what_their_comments_say():
    make_class()
    default_rates()
    cards = {(card.mode, card.tier): card for card in RateCard.objects.select_related("hardware_class")}
    hour = {"compute_ms": rating.MS_PER_HOUR, "energy_mwh": 15_000}
    batch = cards["batch", "standard"]
    prices = {"price_micro_per_hour": batch.price_micro_per_hour, "price_micro_per_kwh": batch.price_micro_per_kwh}
    assert rating.full_micro(**hour, **prices) == 100_000
    assert len(cards) == 4
    for mode in ("batch", "real_time"):
        standard, quorum = cards[mode, "standard"], cards[mode, "quorum"]
        assert quorum.price_micro_per_hour == 2 * standard.price_micro_per_hour
        assert quorum.owner_micro_per_hour == standard.owner_micro_per_hour
        # The price pays both owners, with the energy of the class that draws most (75 W), and something is left.
        assert quorum.price_micro_per_hour > 2 * quorum.owner_micro_per_hour + 75 * quorum.price_micro_per_kwh // 1000
    assert cards["real_time", "standard"].price_micro_per_hour > 2 * batch.price_micro_per_hour


def test_modes_and_tiers_have_prices_of_their_own():
    hardware_class, now = make_class(), timezone.now()
    make_card(hardware_class, price=1_000)
    quorum = make_card(hardware_class, price=2_000, tier="quorum")
    assert in_force(hardware_class, now).price_micro_per_hour == 1_000
    assert in_force(hardware_class, now, tier="quorum") == quorum
    assert in_force(hardware_class, now, mode="real_time") is None
    assert [card.price_micro_per_hour for card in price_list(now, currency="USD")] == [2_000, 1_000]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_ratecard SET price_micro_per_hour = 1",
        "DELETE FROM billing_ratecard",
        "TRUNCATE billing_ratecard CASCADE",
    ],
)
def test_a_card_never_changes(sql):
    make_card(make_class())
    assert sqlstate_of(sql) == "DW002"


@pytest.mark.parametrize(
    "fields",
    [
        {"price": 0},
        {"price": -1},
        {"share": 1001},
        {"price": 100_000, "share": 700, "min_owner_micro_per_hour": 70_001},
    ],
)
def test_cards_that_cannot_be(fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        make_card(make_class(), **fields)
