"""When a job has ended and all its usage is settled, the rest of its hold goes back to the wallet."""

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now

from billing.models import JobOrder, LedgerAccount, LedgerTransfer
from billing.services import ledger
from billing.services.ledger import Place, Posting
from compute.models import Attempt, InferenceJob, UsageRecord
from marketplace.core.db import atomic_retrying

ENDED = (InferenceJob.Status.COMPLETED, InferenceJob.Status.FAILED, InferenceJob.Status.CANCELLED)
LIVE = (Attempt.Status.LEASED, Attempt.Status.REPORTED)


@atomic_retrying
def close_orders(*, limit: int = 1000) -> int:
    """Close up to `limit` orders that nothing can be charged to any more. Returns how many; repeatable."""
    orders = list(_due().select_related("rate_card")[:limit])
    if not orders:
        return 0
    accounts = ledger.accounts({place for order in orders for place in (_hold(order), _wallet(order))})
    releases = [
        Posting(
            kind=LedgerTransfer.Kind.RELEASE,
            debit=accounts[_hold(order)],
            credit=accounts[_wallet(order)],
            amount_micro=order.left_micro,
            idempotency_key=f"release:{order.job_id}",
            meta={"order": order.pk},
        )
        for order in orders
        if order.left_micro
    ]
    JobOrder.objects.filter(pk__in=[order.pk for order in orders]).update(
        status=JobOrder.Status.CLOSED,
        status_code=Subquery(InferenceJob.objects.filter(pk=OuterRef("job_id")).values("status")[:1]),
        closed_at=Now(),
    )
    ledger.post(releases)
    return len(orders)


def _due() -> QuerySet[JobOrder]:
    unsettled = UsageRecord.objects.filter(job=OuterRef("job"), settled_at=None)
    live = Attempt.objects.filter(job=OuterRef("job"), status__in=LIVE)
    return (
        JobOrder.objects.select_for_update(skip_locked=True, of=["self"])
        .filter(~Exists(unsettled), ~Exists(live), status=JobOrder.Status.HELD, job__status__in=ENDED)
        .order_by("pk")
    )


def _hold(order: JobOrder) -> Place:
    return Place(kind=LedgerAccount.Kind.HOLD, currency=order.rate_card.currency, organization_id=order.organization_id)


def _wallet(order: JobOrder) -> Place:
    return Place(
        kind=LedgerAccount.Kind.WALLET,
        currency=order.rate_card.currency,
        organization_id=order.organization_id,
    )
