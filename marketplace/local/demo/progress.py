"""Progress of the job: one line that is rewritten; on a pipe, a new line every few seconds."""

import sys
import time

from billing.models import JobOrder
from compute.models import Attempt, InferenceJob, UsageRecord
from core.locale import format_money

PIPE_EVERY_S = 5.0


class Progress:
    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._started = time.monotonic()
        self._printed_at = 0.0
        self._is_terminal = sys.stderr.isatty()

    def job(self) -> InferenceJob:
        return InferenceJob.objects.get(public_id=self._job_id)

    def show(self) -> InferenceJob:
        """Print units, nodes and cost so far, and return the job as it is now."""
        job = self.job()
        nodes = Attempt.objects.filter(job=job, status="leased").values("node").distinct().count()
        order = JobOrder.objects.get(job=job)
        settled = UsageRecord.objects.filter(job=job).exclude(settled_at=None).count()
        line = (
            f"  {time.monotonic() - self._started:5.1f} s  {job.status:<10}  units {job.units_accepted}/{job.units_total or '?'}"
            f"  nodes {nodes}  settled {settled}  cost {format_money(order.charged_micro)}"
        )
        if self._is_terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._printed_at > PIPE_EVERY_S:
            self._printed_at = time.monotonic()
            print(line, file=sys.stderr, flush=True)
        return job

    def end(self) -> None:
        if self._is_terminal:
            print(file=sys.stderr)
