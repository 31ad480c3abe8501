"""The names of the cards that top-ups were paid with, as a customer knows them: `Visa 4242`."""

from collections.abc import Sequence

from django.conf import settings
from django.core.cache import cache

from billing.models import CardTopUp, TopUp
from billing.stripe import gateway
from core.errors import DomainError

KEEP_S = 86_400
LOOKED_UP_MAX = 5  # for one page: each is a call to Stripe, whose answer is then cached for KEEP_S


def card_names(top_ups: Sequence[TopUp]) -> dict[int, str]:
    """Return the card's name for each top-up's id; "" where it is unknown now. Call it outside a transaction.

    Asks Stripe for at most LOOKED_UP_MAX of them. Errors of Stripe are not raised.
    """
    known = {
        row.top_up_id: str(row.saved_card)
        for row in CardTopUp.objects.filter(top_up__in=top_ups, saved_card__isnull=False).select_related("saved_card")
    }
    found = cache.get_many([_key(row) for row in top_ups])
    asked = 0
    for row in top_ups:
        if row.pk not in known and _key(row) not in found and asked < LOOKED_UP_MAX:
            found[_key(row)], asked = _ask(row), asked + 1
    return {row.pk: known.get(row.pk) or found.get(_key(row), "") for row in top_ups}


def _ask(row: TopUp) -> str:
    if not settings.STRIPE_SECRET_KEY:
        return ""
    try:
        name = gateway.source_of_payment(row.reference)
    except DomainError:
        return ""
    cache.set(_key(row), name, KEEP_S)
    return name


def _key(row: TopUp) -> str:
    return f"payment-source:{row.reference}"
