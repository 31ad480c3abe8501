"""The prices that a marketplace starts with. Any other price is a RateCard that an operator adds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import User
from billing.models import RateCard
from compute.models import HardwareClass
from core.errors import Conflict, InvalidInput

Mode, Tier = RateCard.Mode, RateCard.Tier

DEFAULT_CURRENCY = "USD"
# Energy is a line of its own, all of it the owner's: 0.20 a kWh, a little above the 0.18 of the tariff that policies start
# with (research/mission.md 4, row 16).
DEFAULT_PRICE_MICRO_PER_KWH = 200_000
# One unit draws 15 W to 75 W. At 0.18 $/kWh and 0.066 $/kWh of battery wear (rows 16 and 19) the dearest hour costs its owner
# 1.9 cents: the floor of what the time alone must pay.
DEFAULT_MIN_OWNER_MICRO_PER_HOUR = 20_000
# How far back a new card may be dated: an operator's clock and form are slower than ours.
PAST_MAX = timedelta(minutes=5)


@dataclass(frozen=True)
class DefaultRate:
    price_micro_per_hour: int
    owner_share_permille: int

    @property
    def owner_micro_per_hour(self) -> int:
        return self.price_micro_per_hour * self.owner_share_permille // 1000


# - Batch, standard: 9.7 cents and the 15 W of a usual unit make ten cents an hour, of which 6.8 and the energy are the owner's.
# - Quorum: twice that, since two owners' cars run every unit; each is paid what an hour of standard pays (half the share of
#   twice the price), the second one by the platform out of the other half.
# - Real time: two and a half times batch. The car keeps the model warm and waits, and a late answer is asked for twice.
DEFAULT_RATES: Mapping[tuple[str, str], DefaultRate] = {
    (Mode.BATCH, Tier.STANDARD): DefaultRate(97_000, 700),
    (Mode.BATCH, Tier.QUORUM): DefaultRate(194_000, 350),
    (Mode.REAL_TIME, Tier.STANDARD): DefaultRate(242_500, 700),
    (Mode.REAL_TIME, Tier.QUORUM): DefaultRate(485_000, 350),
}


def default_rates() -> int:
    """Give every hardware class the default card of each mode and tier that it has none of. Returns how many were written.

    A card is dated by its class's creation, so that two processes doing this at once write one card.
    """
    there = set(
        RateCard.objects.filter(currency=DEFAULT_CURRENCY).values_list("hardware_class_id", "mode", "tier").distinct()
    )
    cards = [
        RateCard(
            hardware_class=hardware_class,
            currency=DEFAULT_CURRENCY,
            valid_from_at=hardware_class.created_at,
            mode=mode,
            tier=tier,
            price_micro_per_hour=rate.price_micro_per_hour,
            price_micro_per_kwh=DEFAULT_PRICE_MICRO_PER_KWH,
            owner_share_permille=rate.owner_share_permille,
            min_owner_micro_per_hour=DEFAULT_MIN_OWNER_MICRO_PER_HOUR,
        )
        for hardware_class in HardwareClass.objects.all()
        for (mode, tier), rate in DEFAULT_RATES.items()
        if (hardware_class.pk, mode, tier) not in there
    ]
    return len(RateCard.objects.bulk_create(cards, ignore_conflicts=True))


def check_card(card: RateCard) -> None:
    """Raises InvalidInput for a card that makes no sense; `fields` names the field and says what is wrong with it."""
    wrong: dict[str, str] = {}
    if card.price_micro_per_hour <= 0:
        wrong["price_micro_per_hour"] = "An hour costs more than nothing."
    if card.price_micro_per_kwh < 0:
        wrong["price_micro_per_kwh"] = "A kilowatt-hour costs nothing or more."
    if not 0 <= card.owner_share_permille <= 1000:
        wrong["owner_share_permille"] = "The owner's share is 0 to 1000 thousandths."
    elif card.min_owner_micro_per_hour * 1000 > card.price_micro_per_hour * card.owner_share_permille:
        wrong["min_owner_micro_per_hour"] = (
            f"This price and share pay an owner {card.owner_micro_per_hour} an hour: less than this floor."
        )
    if card.valid_from_at < timezone.now() - PAST_MAX:
        wrong["valid_from_at"] = "A price holds from now on, or from a moment in the future."
    if wrong:
        raise InvalidInput("This price cannot be.", code="rate_invalid", **wrong)


@transaction.atomic
def add_card(card: RateCard, *, actor: User | None) -> RateCard:
    """Write a new price; orders from `valid_from_at` on are made at it, older ones keep theirs.

    Raises InvalidInput `rate_invalid`, Conflict `rate_exists` when there is one from that same moment.
    """
    check_card(card)
    try:
        with transaction.atomic():
            card.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict("There is a price from that moment already.", code="rate_exists") from error
    audit.record(actor=actor, action="rate_card.add", subject=card.pk, **_said(card))
    return card


def _said(card: RateCard) -> dict[str, Any]:
    names = (
        "currency",
        "mode",
        "tier",
        "price_micro_per_hour",
        "price_micro_per_kwh",
        "owner_share_permille",
        "min_owner_micro_per_hour",
    )
    return {
        "hardware_class": card.hardware_class.slug,
        "valid_from_at": card.valid_from_at.isoformat(),
        **{name: getattr(card, name) for name in names},
    }
