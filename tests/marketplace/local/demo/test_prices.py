"""The demo asks a price of its own, and leaves the ordinary one behind."""

import pytest

from billing.models import RateCard
from billing.rates import cards as rates
from marketplace.local.demo import money
from tests import factories

pytestmark = pytest.mark.django_db


def price() -> int:
    cards = RateCard.objects.filter(hardware_class=factories.hardware_class(), mode="batch", tier="standard")
    return cards.latest("valid_from_at").price_micro_per_hour


def test_the_price_before_the_demo_is_back_after_it():
    factories.hardware_class()
    rates.default_rates()
    before = price()
    money.ask_price()
    assert price() == money.PRICE_MICRO_PER_HOUR
    assert money.restore_prices() == 1
    assert price() == before
    assert money.restore_prices() == 0


def test_there_is_nothing_to_restore_without_a_demo():
    assert money.restore_prices() == 0
    factories.hardware_class()
    rates.default_rates()
    assert money.restore_prices() == 0
