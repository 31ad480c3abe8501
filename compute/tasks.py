"""Celery's doors to the services. Every task looks at rows and does nothing when they are done."""

import time

from celery import shared_task

from compute.models import InferenceJob, ModelArtifact
from compute.services import artifacts, dispatch, jobs, kicks, verification

ROUND_BUDGET_S = 5.0


@shared_task(name="compute.dispatch_round")
def dispatch_round() -> None:
    """Expire, verify, dispatch, until a round finds nothing to do."""
    until = time.monotonic() + ROUND_BUDGET_S
    while time.monotonic() < until:
        kicks.begin("compute.dispatch_round")
        moved = dispatch.expire_leases() + verification.verify() + dispatch.dispatch()
        moved += verification.fail_hopeless_units() + jobs.finish_jobs()
        if not moved:
            break


@shared_task(name="compute.admit_models")
def admit_models() -> None:
    kicks.begin("compute.admit_models")
    artifacts.release_dead_checks()
    waiting = ModelArtifact.objects.filter(status=ModelArtifact.Status.UPLOADED).order_by("id")
    for artifact_id in waiting.values_list("id", flat=True)[:10]:
        artifacts.admit_model(artifact_id=artifact_id)


@shared_task(name="compute.plan_jobs")
def plan_jobs() -> None:
    kicks.begin("compute.plan_jobs")
    queued = InferenceJob.objects.filter(status=InferenceJob.Status.QUEUED).order_by("-priority", "id")
    for job_id in queued.values_list("id", flat=True)[:20]:
        jobs.plan_job(job_id=job_id)


@shared_task(name="compute.assemble_jobs")
def assemble_jobs() -> None:
    kicks.begin("compute.assemble_jobs")
    ready = InferenceJob.objects.filter(status=InferenceJob.Status.ASSEMBLING).order_by("id")
    for job_id in ready.values_list("id", flat=True)[:20]:
        jobs.assemble_job(job_id=job_id)
