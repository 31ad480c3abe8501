"""Celery tasks. Each calls one service, works from rows, and may run twice: a second run finds nothing to do."""

import logging
import time
from collections.abc import Callable, Iterable

from celery import shared_task

from compute.artifacts import artifacts
from compute.dispatch import dispatch, verification
from compute.jobs import jobs
from compute.models import InferenceJob, ModelArtifact
from compute.nodes import absences, history, prices
from core import workers

logger = logging.getLogger(__name__)
ROUND_BUDGET_S = 5.0


@shared_task(name="compute.dispatch_round")
def dispatch_round() -> None:
    """Expire, verify and dispatch in rounds until a round changes nothing, for 5 s at most."""
    until = time.monotonic() + ROUND_BUDGET_S
    while time.monotonic() < until:
        workers.begin("compute.dispatch_round")
        moved = dispatch.expire_leases() + verification.verify() + dispatch.dispatch()
        moved += verification.fail_hopeless_units() + jobs.finish_jobs()
        if not moved:
            break


@shared_task(name="compute.admit_models")
def admit_models() -> None:
    """Check uploaded models, after queueing those again whose checker died."""
    workers.begin("compute.admit_models")
    artifacts.release_dead_checks()
    waiting = ModelArtifact.objects.filter(status=ModelArtifact.Status.UPLOADED).order_by("id")
    _each(waiting.values_list("id", flat=True)[:10], lambda row: artifacts.admit_model(artifact_id=row))


@shared_task(name="compute.plan_jobs")
def plan_jobs() -> None:
    """End overdue jobs, then slice queued jobs into units."""
    workers.begin("compute.plan_jobs")
    jobs.fail_overdue()  # first, so that a job that crashes its planner every time is ended some day
    queued = InferenceJob.objects.filter(status=InferenceJob.Status.QUEUED).order_by("-priority", "id")
    _each(queued.values_list("id", flat=True)[:20], lambda row: jobs.plan_job(job_id=row))


@shared_task(name="compute.assemble_jobs")
def assemble_jobs() -> None:
    """Join the results of jobs whose units are all accepted."""
    workers.begin("compute.assemble_jobs")
    ready = InferenceJob.objects.filter(status=InferenceJob.Status.ASSEMBLING).order_by("id")
    _each(ready.values_list("id", flat=True)[:20], lambda row: jobs.assemble_job(job_id=row))


@shared_task(name="compute.close_away")
def close_away() -> None:
    """Mark nodes that have been silent too long as away, in batches until none is left."""
    while history.close_away():
        pass


@shared_task(name="compute.price_nodes")
def price_nodes() -> None:
    """Compute again what an hour of work costs each owner: tariffs, policies and classes change."""
    workers.begin("compute.price_nodes")
    prices.price_nodes()


@shared_task(name="compute.tell_of_absences")
def tell_of_absences() -> None:
    """Queue mails to the owners of cars that have been silent for a day."""
    absences.queue_mails()


def _each(rows: Iterable[int], work: Callable[[int], object]) -> None:
    """Process the rows one by one. Log a failure and continue with the next; the next beat tries the failed row again."""
    for row in rows:
        try:
            work(row)
        except Exception:
            logger.exception("row %d failed", row)
