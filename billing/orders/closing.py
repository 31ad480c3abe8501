"""Closing orders: when a job has ended and all its usage is settled, the rest of its hold is released."""

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now

from billing.ledger import posting
from billing.models import JobOrder
from billing.orders import holds
from compute.models import Attempt, InferenceJob, UsageRecord
from core.db import atomic_retrying

ENDED_STATUSES = (InferenceJob.Status.COMPLETED, InferenceJob.Status.FAILED, InferenceJob.Status.CANCELLED)
LIVE_STATUSES = (Attempt.Status.LEASED, Attempt.Status.REPORTED)


@atomic_retrying
def close_orders(*, limit: int = 1000) -> int:
    """Close up to `limit` orders that nothing can be charged to any more, and release the rest of their holds.

    Returns the number of orders. Repeatable, and safe in many processes at once.
    """
    orders = list(_due().select_related("rate_card")[:limit])
    if not orders:
        return 0
    releases = holds.release_postings(orders)
    JobOrder.objects.filter(pk__in=[order.pk for order in orders]).update(
        status=JobOrder.Status.CLOSED,
        status_code=Subquery(InferenceJob.objects.filter(pk=OuterRef("job_id")).values("status")[:1]),
        closed_at=Now(),
    )
    posting.post(releases)
    return len(orders)


def _due() -> QuerySet[JobOrder]:
    # A live attempt may still become usage, and usage that is not settled may still be charged.
    unsettled = UsageRecord.objects.filter(job=OuterRef("job"), settled_at=None)
    live = Attempt.objects.filter(job=OuterRef("job"), status__in=LIVE_STATUSES)
    return (
        JobOrder.objects.select_for_update(skip_locked=True, of=["self"])
        .filter(~Exists(unsettled), ~Exists(live), status=JobOrder.Status.HELD, job__status__in=ENDED_STATUSES)
        .order_by("pk")
    )
