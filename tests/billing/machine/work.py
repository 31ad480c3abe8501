"""Rules about work: cars complete units, jobs end, and the work is settled, voided, stated and invoiced."""

from datetime import timedelta

from django.utils import timezone
from hypothesis.stateful import rule

from billing.invoices import invoices
from billing.models import JobOrder, LedgerAccount
from billing.orders import closing, voids
from billing.orders.settlement import settle_usage
from billing.statements import statements
from compute.models import UsageRecord
from tests.billing.helpers import HOUR_MS, end_job, make_usage
from tests.billing.machine.base import Base, choose, crashes, picks


class Work(Base):
    """Acts of cars, and the tasks that close jobs and periods."""

    @rule(pick=picks)
    def drive(self, pick: int) -> None:
        """Complete a unit of an open job, or let the other car repeat a completed one as a check."""
        if order := choose(self._open(), pick):
            first = UsageRecord.objects.filter(job=order.job_id, is_canonical=True).exclude(
                node=self.scene.nodes[pick % 2]
            )
            copy_of = first.first() if pick % 3 == 0 else None
            if (
                copy_of is None
                or not UsageRecord.objects.filter(attempt__unit=copy_of.attempt.unit, is_canonical=False).exists()
            ):
                make_usage(
                    order.job,
                    self.scene.nodes[pick % 2],
                    compute_ms=HOUR_MS // (pick % 5 + 2) + pick,
                    energy_mwh=pick * 1000,
                    copy_of=copy_of,
                )

    @rule(pick=picks)
    def end(self, pick: int) -> None:
        if order := choose([row for row in self._open() if row.job.status == "queued"], pick):
            end_job(order.job, ["completed", "completed", "cancelled", "failed"][pick % 4])

    @rule(pick=picks, crash=crashes)
    def settle(self, pick: int, crash: int) -> None:
        with self.dying_after(crash):
            settle_usage(limit=1 + pick % 3)
            closing.close_orders(limit=1 + pick % 2)

    @rule(crash=crashes)
    def take_back(self, crash: int) -> None:
        with self.dying_after(crash):
            voids.settle_voids()

    @rule(pick=picks, crash=crashes)
    def close_period(self, pick: int, crash: int) -> None:
        """Close statements and invoices up to now or an earlier day; what is late for that is on the next ones."""
        until = timezone.now() - (timedelta(days=2) if pick % 5 == 0 else timedelta(0))
        with self.dying_after(crash):
            if pick % 3 < 2:
                statements.close_due(until=until)
            if pick % 3 > 0:
                invoices.close_due(until=until)

    @rule(pick=picks, crash=crashes)
    def last_statement(self, pick: int, crash: int) -> None:
        """Close the last statement of an owner who leaves, which pays without a minimum."""
        owner = self.scene.owners[pick % 2]
        if LedgerAccount.objects.filter(owner=owner, kind="payable").exists():
            with self.dying_after(crash):
                statements.close_owner(owner=owner, until=timezone.now())

    def _open(self) -> list[JobOrder]:
        rows = JobOrder.objects.filter(status="held", job__status__in=["queued", "completed"]).select_related("job")
        return list(rows.order_by("id"))
