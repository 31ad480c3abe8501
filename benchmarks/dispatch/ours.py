"""One round of the whole path: from a full queue of planned units to the last usage row."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import psycopg
from django.db import connection

from benchmarks.dispatch.fleet import Agent, Fleet, plan
from benchmarks.dispatch.measure import CpuWatch, quantile
from benchmarks.dispatch.site import Site, wait_until
from benchmarks.dispatch.wire import Tally
from billing.models import JobOrder
from compute.models import InferenceJob

BACKENDS = "SELECT pid, application_name, backend_type FROM pg_stat_activity"

# Seconds of each attempt's stages, by the clock of its event rows (clock_timestamp, in the writing transaction).
STAGES = """
SELECT extract(epoch FROM a.delivered_at - a.leased_at), extract(epoch FROM r.at - a.delivered_at),
       extract(epoch FROM v.at - r.at), extract(epoch FROM v.at - l.at)
  FROM compute_attempt a
  JOIN compute_attemptevent l ON l.attempt_id = a.id AND l.to_status = 'leased'
  JOIN compute_attemptevent r ON r.attempt_id = a.id AND r.to_status = 'reported'
  JOIN compute_attemptevent v ON v.attempt_id = a.id AND v.to_status = 'valid'
 WHERE a.job_id = %s
"""
STAGE_NAMES = ("leased to delivered", "delivered to reported", "reported to valid", "leased to valid")


@dataclass(frozen=True)
class Round:
    """The figures of one round."""

    units: int
    seconds: float  # until the last unit was accepted and its usage row was durable: the measured time
    settled_s: float  # until all usage was in the ledger
    assembled_s: float  # until the result file was joined and the order closed
    attempts: int
    cpu: dict[str, float]
    stages: dict[str, tuple[float, float]]  # name -> p50, p99 in seconds
    tally: Tally

    @property
    def rate(self) -> float:
        return self.units / self.seconds


def run_round(site: Site, fleet: Fleet, *, units: int, capacity: int) -> Round:
    """Run a job of `units` units and return its figures.

    Raises EmbeddedError if a process ends or a step takes too long.
    """
    job = plan(fleet, units)
    agent = Agent(fleet, capacity=capacity, home=site.home)
    try:
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
            owner.execute("CHECKPOINT")
        watch = CpuWatch({**site.pids(), "light agent": agent.process.pid}, backends)
        started = time.monotonic()
        agent.go()
        ended = wait_until("all units", lambda: _accepted(job) >= units, timeout_s=600, site=site)
        cpu = watch.read()
        settled = wait_until("settled", lambda: not _unsettled(job), timeout_s=600, site=site)
        tally = agent.end()
    except BaseException:
        agent.kill()
        raise
    closed = wait_until("order closed", lambda: _closed(job), timeout_s=600, site=site, every_s=0.2)
    stages, attempts = _stages(job)
    return Round(units, ended - started, settled - started, closed - started, attempts, cpu, stages, tally)


def backends() -> dict[int, str]:
    """Return process id -> what that process of PostgreSQL works for."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:  # another role sees only its own
        rows = owner.execute(BACKENDS).fetchall()
    return {pid: f"postgres for {name}" if name else f"postgres {kind}" for pid, name, kind in rows}


def _accepted(job: InferenceJob) -> int:
    return InferenceJob.objects.values_list("units_accepted", flat=True).get(pk=job.pk)


def _unsettled(job: InferenceJob) -> bool:
    return job.usage_records.filter(settled_at=None).exists()


def _closed(job: InferenceJob) -> bool:
    return JobOrder.objects.filter(job=job, status=JobOrder.Status.CLOSED).exists()


def _stages(job: InferenceJob) -> tuple[dict[str, tuple[float, float]], int]:
    with connection.cursor() as cursor:
        cursor.execute(STAGES, [job.pk])
        columns = [[float(value) for value in column] for column in zip(*cursor.fetchall(), strict=True)]
    spread = {
        name: (quantile(column, 0.5), quantile(column, 0.99)) for name, column in zip(STAGE_NAMES, columns, strict=True)
    }
    return spread, job.attempts.count()
