"""Reads across models: a job's progress, what ran on a vehicle."""

from dataclasses import dataclass

from django.db.models import Count

from compute.models import Attempt, InferenceJob


@dataclass(frozen=True)
class Progress:
    attempts: dict[str, int]
    nodes_active: int
    copies_per_unit: float | None


def job_progress(job: InferenceJob) -> Progress:
    """Attempts by status, vehicles at work, and valid results per accepted unit (1.0: nothing was checked twice)."""
    rows = Attempt.objects.filter(job=job).values_list("status").annotate(n=Count("id"))
    counts = dict(rows)
    active = Attempt.objects.filter(job=job, status=Attempt.Status.LEASED).values("node").distinct().count()
    valid = counts.get(Attempt.Status.VALID, 0)
    return Progress(counts, active, valid / job.units_accepted if job.units_accepted else None)


def recent_attempts(vehicle_ids: list[int], *, each: int = 5) -> dict[int, list[Attempt]]:
    """The newest attempts of each vehicle, ended or running."""
    found: dict[int, list[Attempt]] = {}
    for vehicle_id in vehicle_ids:
        rows = Attempt.objects.filter(vehicle_id=vehicle_id).select_related(
            "job__artifact", "job__organization", "unit", "usage"
        )
        found[vehicle_id] = list(rows.order_by("-id")[:each])
    return found
