"""Disputes whose money Stripe has moved and we have not posted: what neither a webhook nor the list of events has brought."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from billing.models import BalanceTransaction, CardDispute
from billing.stripe import inbox, rounds

REACH = timedelta(days=30)


def sweep(*, limit: int = 100) -> int:
    """Act on each such dispute as on an event about it, and return how many there were. Raises StripeUnavailable.

    One that cannot be acted on is logged, and the others are looked at.
    """
    ids = list(_unposted()[:limit])
    # The event's handler and not `chargebacks.apply`: the payment may have to be credited first.
    rounds.look_again(ids, inbox.OBJECTS["charge.dispute.updated"])
    return len(ids)


def _unposted() -> QuerySet[BalanceTransaction, str]:
    """Return ids of disputes, from the adjustments of our balance at Stripe."""
    known = CardDispute.objects.filter(stripe_id=OuterRef("source_id"))
    posted = Q(Exists(known.filter(withdrawn_at__isnull=False)), amount_micro__lt=0) | Q(
        Exists(known.filter(reinstated_at__isnull=False)), amount_micro__gt=0
    )
    rows = BalanceTransaction.objects.filter(
        ~posted, type="adjustment", source_id__regex="^(dp|du)_", occurred_at__gt=timezone.now() - REACH
    )
    return rows.order_by("source_id").values_list("source_id", flat=True).distinct()
