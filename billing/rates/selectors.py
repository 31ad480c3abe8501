"""Reading rate cards: the price in force at a moment, and price lists."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import QuerySet

from billing.models import RateCard
from compute.models import HardwareClass

BATCH, STANDARD = RateCard.Mode.BATCH, RateCard.Tier.STANDARD


def in_force(
    hardware_class: HardwareClass, at: datetime, *, currency: str = "USD", mode: str = BATCH, tier: str = STANDARD
) -> RateCard | None:
    """Return the card that prices work of a class ordered at a moment: the newest that is valid by then, or None."""
    return cards_in_force([hardware_class], at, currency=currency, mode=mode, tier=tier).first()


def cards_in_force(
    classes: Iterable[HardwareClass], at: datetime, *, currency: str = "USD", mode: str = BATCH, tier: str = STANDARD
) -> QuerySet[RateCard]:
    """Return the cards in force at a moment, at most one for each class."""
    valid = RateCard.objects.filter(
        hardware_class__in=list(classes), currency=currency, mode=mode, tier=tier, valid_from_at__lte=at
    )
    return (
        valid.select_related("hardware_class")
        .order_by("hardware_class_id", "-valid_from_at")
        .distinct("hardware_class_id")
    )


def price_list(at: datetime, *, currency: str) -> QuerySet[RateCard]:
    """Return the card in force of each class, mode and tier in a currency, in that order."""
    return (
        RateCard.objects.filter(currency=currency, valid_from_at__lte=at)
        .select_related("hardware_class")
        .order_by("hardware_class_id", "mode", "tier", "-valid_from_at")
        .distinct("hardware_class_id", "mode", "tier")
    )
