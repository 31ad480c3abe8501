"""Rate cards: the default prices with which a marketplace starts, and adding new ones by operators."""

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
# Energy is priced separately, and all of it is paid to the owner: $0.20/kWh, a little above $0.18/kWh, the tariff with
# which owners' policies start (average price of US homes in 2026, EIA STEO of December 2025).
DEFAULT_PRICE_MICRO_PER_KWH = 200_000
# A unit draws 15 W to 75 W. At $0.18/kWh, and $0.066/kWh of battery wear (a battery of $99/kWh over assumed 1,500
# cycles), the most expensive hour costs its owner 1.9 cents. The price of time alone must pay an owner about that.
DEFAULT_MIN_OWNER_MICRO_PER_HOUR = 20_000
# How far back a new card may be dated: an operator's clock may be slow, and filling in the form takes time.
PAST_MAX = timedelta(minutes=5)


@dataclass(frozen=True)
class DefaultRate:
    """The default price of time for one mode and tier, and the owner's share of it."""

    price_micro_per_hour: int
    owner_share_permille: int

    @property
    def owner_micro_per_hour(self) -> int:
        """What an owner is paid for the time of a compute-hour, without energy."""
        return self.price_micro_per_hour * self.owner_share_permille // 1000


# - Batch, standard: 9.7 cents, and the energy of a usual unit (15 W), make ten cents an hour. The owner gets 6.8 cents
#   of the time, and the energy.
# - Quorum: twice that, since vehicles of two owners run every unit. Each owner is paid what an hour of standard pays
#   (half the share of twice the price); the platform pays the second one out of the other half.
# - Real time: two and a half times batch. The vehicle keeps the model loaded and waits, and a late answer is requested
#   twice.
DEFAULT_RATES: Mapping[tuple[str, str], DefaultRate] = {
    (Mode.BATCH, Tier.STANDARD): DefaultRate(97_000, 700),
    (Mode.BATCH, Tier.QUORUM): DefaultRate(194_000, 350),
    (Mode.REAL_TIME, Tier.STANDARD): DefaultRate(242_500, 700),
    (Mode.REAL_TIME, Tier.QUORUM): DefaultRate(485_000, 350),
}


def default_rates() -> int:
    """Write the default card of each mode and tier for every hardware class that has none. Returns the number of cards.

    A card is valid from the creation of its class on. So two processes that do this at once write the same card, and
    the unique constraint keeps one.
    """
    existing = set(
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
        if (hardware_class.pk, mode, tier) not in existing
    ]
    return len(RateCard.objects.bulk_create(cards, ignore_conflicts=True))


def check_card(card: RateCard) -> None:
    """Raise InvalidInput (`rate_invalid`) for a card that is not valid; `fields` maps each wrong field to a message."""
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
        raise InvalidInput("This price is not valid.", code="rate_invalid", **wrong)


@transaction.atomic
def add_card(card: RateCard, *, actor: User | None) -> RateCard:
    """Store a new price and return it. Orders made from `valid_from_at` on use it; older orders keep their price.

    Raises InvalidInput (`rate_invalid`), and Conflict (`rate_exists`) if there is a price from the same moment.
    """
    check_card(card)
    try:
        with transaction.atomic():
            card.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict("There is already a price that is valid from that moment on.", code="rate_exists") from error
    audit.record(actor=actor, action="rate_card.add", subject=card.pk, **_audit_details(card))
    return card


def _audit_details(card: RateCard) -> dict[str, Any]:
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
