"""Reads across models: a job's progress, methods of energy metering, consent violations.

A vehicle's attempts: activity.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count

from compute.models import Attempt, InferenceJob


@dataclass(frozen=True)
class Progress:
    """Progress of a job: its attempts by status, nodes at work, and copies for each accepted unit."""

    attempts: dict[str, int]
    nodes_active: int
    copies_per_unit: float | None


def job_progress(job: InferenceJob) -> Progress:
    """Return a job's progress.

    `copies_per_unit` is 1.0 when no unit was computed twice, None before any is accepted.
    """
    rows = Attempt.objects.filter(job=job).values_list("status").annotate(n=Count("id"))
    counts = dict(rows)
    active = Attempt.objects.filter(job=job, status=Attempt.Status.LEASED).values("node").distinct().count()
    valid = counts.get(Attempt.Status.VALID, 0)
    return Progress(counts, active, valid / job.units_accepted if job.units_accepted else None)


ENERGY_METHODS = """
SELECT n.id, r.energy_method FROM unnest(%s::bigint[]) AS n(id)
  JOIN LATERAL (SELECT energy_method FROM compute_meterrecord WHERE node_id = n.id ORDER BY seq DESC LIMIT 1) r ON true
"""


def energy_methods(node_ids: Sequence[int]) -> dict[int, str]:
    """Return the energy method (as "rapl") of each node's newest meter record; nodes without records are left out."""
    with connection.cursor() as cursor:
        cursor.execute(ENERGY_METHODS, [list(node_ids)])
        return dict(cursor.fetchall())


# Attempts whose consent record, at the instant of the lease, was of another vehicle or purpose, was not in force, or
# referred to a superseded text.
VIOLATIONS = """
SELECT count(*) FROM compute_attempt a
 WHERE (%s::bigint IS NULL OR a.job_id = %s) AND NOT EXISTS (
    SELECT FROM accounts_consentrecord r
     WHERE r.id = a.consent_record_id AND r.vehicle_id = a.vehicle_id AND r.purpose = 'run_jobs'
       AND r.state IN ('given', 'renewed') AND r.at <= a.leased_at AND (r.expires_at IS NULL OR r.expires_at > a.leased_at)
       AND NOT EXISTS (SELECT FROM accounts_consentrecord later
                        WHERE later.vehicle_id = r.vehicle_id AND later.purpose = r.purpose
                          AND later.seq > r.seq AND later.at <= a.leased_at)
       AND NOT EXISTS (SELECT FROM accounts_consentnotice n JOIN accounts_consentnotice mine ON mine.id = r.notice_id
                        WHERE n.purpose = r.purpose AND n.version > mine.version AND n.effective_at <= a.leased_at))
"""


def consent_violations(*, job: InferenceJob | None = None) -> int:
    """Return how many attempts (of a job, or of all jobs) were leased without consent in force.

    It recomputes this from the consent records and notices alone, so it also tests the trigger that prevents it.
    """
    with connection.cursor() as cursor:
        cursor.execute(VIOLATIONS, [job.pk if job else None] * 2)
        return int(cursor.fetchone()[0])
