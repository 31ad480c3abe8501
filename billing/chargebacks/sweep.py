"""A sweep for disputes whose money moved at Stripe and is not posted here.

Neither a webhook nor the list of events brought them. They are found in the adjustments of our balance at Stripe
(BalanceTransaction).
"""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from billing.models import BalanceTransaction, CardDispute
from billing.stripe import batches, inbox

LOOK_BACK = timedelta(days=30)  # how far back the sweep looks


def sweep(*, limit: int = 100) -> int:
    """Handle each such dispute as if an event about it had come, and return how many there were.

    A dispute that cannot be handled is logged, and the next one follows. Raises StripeUnavailable.
    """
    ids = list(_unposted()[:limit])
    # The event's handler and not `chargebacks.apply`: the payment may have to be credited first.
    batches.refresh_each(ids, inbox.OBJECTS["charge.dispute.updated"])
    return len(ids)


def _unposted() -> QuerySet[BalanceTransaction, str]:
    """Return Stripe's ids of disputes with an adjustment of our balance that has no posting on our side."""
    known = CardDispute.objects.filter(stripe_id=OuterRef("source_id"))
    posted = Q(Exists(known.filter(withdrawn_at__isnull=False)), amount_micro__lt=0) | Q(
        Exists(known.filter(reinstated_at__isnull=False)), amount_micro__gt=0
    )
    rows = BalanceTransaction.objects.filter(
        ~posted, type="adjustment", source_id__regex="^(dp|du)_", occurred_at__gt=timezone.now() - LOOK_BACK
    )
    return rows.order_by("source_id").values_list("source_id", flat=True).distinct()
