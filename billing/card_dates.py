"""When a card ends: with the last moment of its month. Pure."""

from datetime import UTC, datetime, timedelta

from django.utils import timezone

from billing.models import SavedCard

SOON = timedelta(days=30)


def ends_at(card: SavedCard) -> datetime | None:
    """The first moment at which it is no longer good; None for what does not expire."""
    if not card.exp_year or not card.exp_month:
        return None
    years, month = divmod(card.exp_month, 12)
    return datetime(card.exp_year + years, month + 1, 1, tzinfo=UTC)


def has_expired(card: SavedCard, now: datetime | None = None) -> bool:
    end = ends_at(card)
    return end is not None and end <= (now or timezone.now())


def expires_soon(card: SavedCard, now: datetime | None = None) -> bool:
    """Within thirty days, and not yet."""
    end = ends_at(card)
    moment = now or timezone.now()
    return end is not None and moment < end <= moment + SOON
