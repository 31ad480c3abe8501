"""The prices that a marketplace starts with. Any other price is a RateCard that an operator adds."""

from billing.models import RateCard
from compute.models import HardwareClass

# One unit draws 15 W to 75 W. At 0.18 $/kWh and 0.066 $/kWh of battery wear (research/mission.md 4, rows 16
# and 19) the dearest hour costs its owner 1.9 cents: the floor. 10 cents an hour leaves 7 for the owner.
DEFAULT_CURRENCY = "USD"
DEFAULT_PRICE_MICRO_PER_HOUR = 100_000
DEFAULT_OWNER_SHARE_PERMILLE = 700
DEFAULT_MIN_OWNER_MICRO_PER_HOUR = 20_000


def default_rates() -> int:
    """Give every hardware class without a rate card the default one. Returns how many were written.

    The card is dated by its class's creation, so that two processes doing this at once write one card.
    """
    without = HardwareClass.objects.exclude(rate_cards__currency=DEFAULT_CURRENCY)
    cards = [
        RateCard(
            hardware_class=hardware_class,
            currency=DEFAULT_CURRENCY,
            valid_from_at=hardware_class.created_at,
            price_micro_per_hour=DEFAULT_PRICE_MICRO_PER_HOUR,
            owner_share_permille=DEFAULT_OWNER_SHARE_PERMILLE,
            min_owner_micro_per_hour=DEFAULT_MIN_OWNER_MICRO_PER_HOUR,
        )
        for hardware_class in without
    ]
    return len(RateCard.objects.bulk_create(cards, ignore_conflicts=True))
