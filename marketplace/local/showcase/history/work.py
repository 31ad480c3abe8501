"""The jobs of the made-up month, one after the other, through the services that real ones go through."""

import io
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import safetensors.numpy
from django.db import transaction

from accounts.models import Organization
from billing.models import TopUp
from billing.orders import closing, orders, settlement
from billing.wallet import wallets
from compute import blobs
from compute.artifacts import artifacts
from compute.dispatch import dispatch, verification
from compute.jobs import jobs
from compute.models import InferenceJob, InputFile, ModelArtifact, WorkUnit
from core.money import MICRO
from marketplace.local.showcase.history import backdating
from marketplace.local.showcase.history.computers import Computer, UnitCost, sync_all
from marketplace.local.showcase.history.plan import KEY, Model, Shift
from marketplace.local.showcase.model import FEATURES, LABELS, model

ROUNDS = 20  # a job that needs more is stuck
LEASED_AFTER = timedelta(seconds=20)
BETWEEN_ROUNDS = timedelta(seconds=30)
# The customer pays by bank transfer when less is left: little enough that the live customer soon pays by card.
LEAST_MICRO, TOP_UP_MICRO = 15 * MICRO, 60 * MICRO


class Customer:
    """The customer of the made-up month: its models, and the input files that its jobs share."""

    def __init__(self, organization: Organization, started_at: datetime) -> None:
        self.organization, self._started_at = organization, started_at
        self._models: dict[str, ModelArtifact] = {}

    def model(self, wanted: Model) -> ModelArtifact:
        """Return the model, admitted with its made-up costs. Its file is a real one, so that it could be run."""
        if wanted.name not in self._models:
            seed = 100 + len(self._models)
            blob = blobs.put_bytes(model(name="made_up", layers=2, width=32, seed=seed))
            made = ModelArtifact.objects.create(
                organization=self.organization,
                name=wanted.name,
                sha256=blob.sha256,
                size_bytes=blob.size_bytes,
                status=ModelArtifact.Status.ADMITTED,
                inputs=[{"name": "x", "dtype": "float32", "shape": [None, FEATURES]}],
                outputs=[{"name": "score", "dtype": "float32", "shape": [None, LABELS]}],
                us_per_item=wanted.s_per_item * 1_000_000,
                memory_bytes=64 * 2**20,
                batch=8,
            )
            backdating.backdate(backdating.MODEL, id=made.pk, at=self._started_at)
            self._models[wanted.name] = made
        return self._models[wanted.name]

    def input_file(self, items: int) -> InputFile:
        """Return an input file with so many equal rows. Jobs of one size share it."""
        rows = safetensors.numpy.save({"x": np.zeros((items, FEATURES), dtype=np.float32)})
        return artifacts.upload_input(
            organization=self.organization, file_format="safetensors", stream=io.BytesIO(rows)
        )[0]

    def pay_in(self, at: datetime) -> None:
        """Top the wallet up by bank transfer while too little is left for a job."""
        while wallets.summary(self.organization).available_micro < LEAST_MICRO:
            number = TopUp.objects.filter(organization=self.organization).count() + 1
            made = wallets.top_up(
                organization=self.organization,
                amount_micro=TOP_UP_MICRO,
                method=TopUp.Method.MANUAL,
                reference=f"made up {at:%Y-%m-%d} {number}",
                idempotency_key=f"{KEY}:{number}",
                actor=None,
            )
            backdating.backdate(backdating.TOP_UP, id=made.pk, at=at)


def run(shift: Shift, customer: Customer, computers: Sequence[Computer]) -> tuple[InferenceJob, datetime]:
    """Order the job of a shift, let the computers at home run it, and settle it. Return it and its end.

    Raises RuntimeError if it cannot be finished.
    """
    customer.pay_in(shift.ordered_at - timedelta(minutes=10))
    job = orders.order_job(
        organization=customer.organization,
        artifact=customer.model(shift.model),
        input_file=customer.input_file(shift.units * shift.unit_items),
        unit_items=shift.unit_items,
    )
    jobs.plan_job(job_id=job.pk)
    at_home = [computers[index] for index in shift.cars]
    at, rounds = shift.ordered_at + LEASED_AFTER, 0
    while WorkUnit.objects.filter(job=job, status=WorkUnit.Status.OPEN).exists() and rounds < ROUNDS:
        at, rounds = _run_round(job, at_home, at, shift) + BETWEEN_ROUNDS, rounds + 1
    settlement.settle_usage()
    jobs.finish_jobs()
    if not jobs.assemble_job(job_id=job.pk):
        raise RuntimeError(f"the made-up job of {shift.ordered_at} was not finished")
    closing.close_orders()
    backdating.backdate(backdating.JOB, job=job.pk, order=job.order.pk, start=shift.ordered_at, end=at)
    return job, at


def _run_round(job: InferenceJob, computers: Sequence[Computer], at: datetime, shift: Shift) -> datetime:
    """Lease as many open units as the computers take, and report them. Return the end."""
    WorkUnit.objects.filter(job=job, not_before_at__isnull=False).update(not_before_at=None)
    sync_all([computer.request() for computer in computers])
    _lease(job, computers)
    answers = sync_all([computer.request() for computer in computers])
    rng = random.Random(f"{shift.seed} at {at}")  # noqa: S311 - figures that must be the same again
    spans: dict[int, tuple[datetime, datetime]] = {}
    requests = []
    for computer, answer in zip(computers, answers, strict=True):
        reports = []
        for lease in answer.leases:
            planned_ms = lease.items * shift.model.s_per_item * 1000
            took = UnitCost.about(planned_ms, computer.node.hardware_class.power_mw, rng)
            spans[lease.attempt] = (at, at + timedelta(milliseconds=took.compute_ms))
            reports.append(computer.report(lease, _result(lease.items), started_at=at, took=took))
        requests.append(computer.request(reports=tuple(reports), available=False))
    sync_all(requests)
    verification.verify()
    end = max((ended_at for _, ended_at in spans.values()), default=at) + timedelta(seconds=2)
    backdating.backdate_round(job, spans, end)
    return end


def _lease(job: InferenceJob, computers: Sequence[Computer]) -> None:
    """Lease units of this job to these computers alone, even if other computers are available."""
    nodes = {computer.node.pk for computer in computers}
    with transaction.atomic():
        free = [offer for offer in dispatch.offers() if offer.node in nodes]
        dispatch.lease([need for need in dispatch.needs(free) if need.job == job.pk], free)


@cache
def _result(items: int) -> bytes:
    """Return a result of the right shape: every label equally likely."""
    return bytes(safetensors.numpy.save({"score": np.full((items, LABELS), 1 / LABELS, dtype=np.float32)}))
