"""Inference jobs: create, slice into units, cancel, assemble the result. Prices and the wallet belong to billing."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import numpy as np
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import ApiKey, Organization
from compute import blobs, tensors
from compute.models import InferenceJob, InputFile, ModelArtifact, WorkUnit
from core import workers
from core.db import atomic_retrying
from core.errors import Conflict, Forbidden, InvalidInput
from core.states import transition

UNIT_INPUT_MAX_BYTES = 64 * 1024**2
UNITS_MAX = 200_000
# A unit is paid for at most this many thousandths of its time in the trial run, because the time that a node reports is
# only its own claim (docs/metering.md, section 4).
PAID_TIME_MAX_PERMILLE = 3_000
# As in other batch services: a job that is not finished within a day ends, finished work is charged, and the rest of
# the hold is released.
COMPLETION_WINDOW = timedelta(hours=24)
PLAN_BATCH = 1000
ASSEMBLE_PAGE = 500


@transaction.atomic
def create_job(
    *,
    organization: Organization,
    artifact: ModelArtifact,
    input_file: InputFile,
    unit_items: int | None,
    api_key: ApiKey | None,
    priority: int,
    pay_micro_per_hour: int,
    paid_time_permille: int = PAID_TIME_MAX_PERMILLE,
    slowness_max_permille: int | None = None,
    power_max_mw: int | None = None,
    copies_min: int = 1,
) -> InferenceJob:
    """Create a queued job, which a worker slices into units. With `unit_items` None a unit takes about UNIT_SECONDS.

    Usage is limited by three bounds: `paid_time_permille`, `slowness_max_permille` and `power_max_mw`. Every unit gets
    at least `copies_min` copies. Raise Forbidden `organization_suspended`, Conflict `model_not_admitted`, or
    InvalidInput `input_mismatch`, `unit_too_large`, `result_too_large` or `too_many_units`.
    """
    if organization.status != Organization.Status.ACTIVE:
        raise Forbidden("This organization is suspended.", code="organization_suspended")
    if artifact.status != ModelArtifact.Status.ADMITTED:
        raise Conflict(f"The model is {artifact.status}, not admitted.", code="model_not_admitted")
    check_inputs(artifact, input_file)
    step = unit_items or default_unit_items(artifact, input_file)
    _check_sizes(artifact, input_file, step)
    if -(-input_file.items // step) > UNITS_MAX:
        raise InvalidInput(f"A job has at most {UNITS_MAX} units: choose a larger unit_items.", code="too_many_units")
    job = InferenceJob.objects.create(
        organization=organization,
        artifact=artifact,
        input_file=input_file,
        api_key=api_key,
        items=input_file.items,
        unit_items=step,
        priority=priority,
        pay_micro_per_hour=pay_micro_per_hour,
        paid_time_permille=paid_time_permille,
        slowness_max_permille=slowness_max_permille,
        power_max_mw=power_max_mw,
        copies_min=copies_min,
    )
    workers.wake("compute.plan_jobs")
    return job


def _check_sizes(artifact: ModelArtifact, input_file: InputFile, step: int) -> None:
    """Raise InvalidInput for a job whose units, unit results or final result would exceed the size limits."""
    out = output_bytes_per_item(artifact)
    if step * _input_bytes_per_item(input_file) > UNIT_INPUT_MAX_BYTES or step * out > settings.RESULT_MAX_BYTES:
        raise InvalidInput("A unit of so many items is too large: choose a smaller unit_items.", code="unit_too_large")
    if input_file.items * out > settings.INPUT_MAX_BYTES:
        raise InvalidInput("The result would be too large: split the input.", code="result_too_large")


def output_bytes_per_item(artifact: ModelArtifact) -> int:
    """Return the size of one item's results as measured in the trial run; 0 if it was not measured."""
    return int(artifact.profile.get("output_bytes_per_item", 0))


def _input_bytes_per_item(input_file: InputFile) -> int:
    return -(-input_file.size_bytes // input_file.items)


def check_inputs(artifact: ModelArtifact, input_file: InputFile) -> None:
    """Raise InvalidInput `input_mismatch` unless the file has exactly the model's inputs, dtypes and shapes."""
    wanted = {spec["name"]: spec for spec in artifact.inputs}
    given: dict[str, Any] = dict(input_file.tensors)
    if input_file.format == tensors.NPY and len(wanted) == 1:
        given = {next(iter(wanted)): given[tensors.SINGLE]}
    if given.keys() != wanted.keys():
        raise InvalidInput(
            "The file's tensors are not the model's inputs.",
            code="input_mismatch",
            wanted=sorted(wanted),
            given=sorted(given),
        )
    for name, spec in wanted.items():
        if given[name]["dtype"] != spec["dtype"] or given[name]["shape"][1:] != spec["shape"][1:]:
            raise InvalidInput(
                f"Input {name} must be {spec['dtype']} of shape [items, {', '.join(map(str, spec['shape'][1:]))}].",
                code="input_mismatch",
                given=given[name],
            )


def items_by_time(artifact: ModelArtifact) -> int:
    """Return how many items take about UNIT_SECONDS, by the trial run."""
    return max(1, settings.UNIT_SECONDS * 1_000_000 // max(1, artifact.us_per_item))


def default_unit_items(artifact: ModelArtifact, input_file: InputFile) -> int:
    """Return how many items take about UNIT_SECONDS, within the size limits of a unit's input and result."""
    by_time = items_by_time(artifact)
    by_input = UNIT_INPUT_MAX_BYTES // max(1, _input_bytes_per_item(input_file))
    by_output = settings.RESULT_MAX_BYTES // max(1, output_bytes_per_item(artifact))
    return max(1, min(by_time, by_input, by_output, input_file.items))


def plan_job(*, job_id: int) -> bool:
    """Slice a queued job into units and open it for dispatch.

    Return False if it is not queued or another worker has it.
    """
    with transaction.atomic():
        job = (
            InferenceJob.objects.select_for_update(skip_locked=True, of=["self"])
            .select_related("artifact", "input_file")
            .filter(pk=job_id, status=InferenceJob.Status.QUEUED)
            .first()
        )
        if job is None:
            return False
        # The inputs are stored before the rows. After a crash they are stored again under the same digests.
        units = _units(job)
        while batch := list(islice(units, PLAN_BATCH)):
            WorkUnit.objects.bulk_create(batch)
        total = WorkUnit.objects.filter(job=job).count()
        transition(job, InferenceJob.Status.RUNNING, units_total=total, started_at=timezone.now())
        workers.wake("compute.dispatch_round")
    return True


def _units(job: InferenceJob) -> Iterator[WorkUnit]:
    names = [spec["name"] for spec in job.artifact.inputs]
    path = blobs.path_of(job.input_file.sha256)
    parts = tensors.slices(path, job.input_file.format, names, job.unit_items, job.items)
    for index, part in enumerate(parts):
        blob = blobs.put_bytes(part)
        first = index * job.unit_items
        yield WorkUnit(
            job=job,
            index=index,
            first_item=first,
            items=min(job.unit_items, job.items - first),
            input_sha256=blob.sha256,
            input_bytes=blob.size_bytes,
            priority=job.priority,
            copies_wanted=job.copies_min,
        )


@atomic_retrying
def cancel_job(*, job: InferenceJob, code: str = "job_cancelled") -> InferenceJob:
    """Cancel a job: close its open units and cancel leased attempts on their nodes. Valid work stays charged.

    Cancelling it again changes nothing. Raise InvalidTransition for a job that is assembling or has ended.
    """
    job = InferenceJob.objects.select_for_update().get(pk=job.pk)
    if job.status == InferenceJob.Status.CANCELLED:
        return job
    transition(job, InferenceJob.Status.CANCELLED, code=code, finished_at=timezone.now())
    _close_units(job, code)
    return job


def _close_units(job: InferenceJob, code: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE compute_workunit SET status = 'cancelled', status_code = %s WHERE job_id = %s AND status = 'open'",
            [code, job.pk],
        )
        cursor.execute(
            "UPDATE compute_attempt SET status = 'cancelled', status_code = %s, ended_at = now()"
            " WHERE job_id = %s AND status IN ('leased', 'reported')",
            [code, job.pk],
        )
        cursor.execute("SELECT pg_notify('driveway_link', 'cancels')")


def finish_jobs() -> int:
    """Move running jobs on: to assembling when all units are accepted, to failed when one failed.

    Return how many moved.
    """
    moved = 0
    done = InferenceJob.objects.filter(status=InferenceJob.Status.RUNNING, units_total__gt=0)
    with transaction.atomic():
        ready = done.filter(units_accepted__gte=F("units_total"))
        moved += ready.update(status=InferenceJob.Status.ASSEMBLING)
        if moved:
            workers.wake("compute.assemble_jobs")
    failed = WorkUnit.objects.filter(status=WorkUnit.Status.FAILED, job__status=InferenceJob.Status.RUNNING)
    for unit in failed.select_related("job")[:100]:
        moved += fail_job(job=unit.job, code=unit.status_code, message=f"Unit {unit.index} could not be computed.")
    return moved


@atomic_retrying
def fail_job(*, job: InferenceJob, code: str, message: str) -> int:
    """End a job as failed, with its open units and attempts. Return 1, or 0 if it has ended already."""
    job = InferenceJob.objects.select_for_update().get(pk=job.pk)
    if InferenceJob.Status.FAILED not in InferenceJob.TRANSITIONS.get(job.status, ()):
        return 0
    transition(job, InferenceJob.Status.FAILED, code=code, message=message, finished_at=timezone.now())
    _close_units(job, code)
    return 1


def fail_overdue() -> int:
    """Fail jobs that are older than COMPLETION_WINDOW. Return how many.

    They lack available nodes, or a second owner whose copy could verify the first one.
    """
    unfinished = InferenceJob.objects.filter(
        status__in=[InferenceJob.Status.QUEUED, InferenceJob.Status.RUNNING, InferenceJob.Status.ASSEMBLING],
        created_at__lt=timezone.now() - COMPLETION_WINDOW,
    )
    message = "The job was not done within 24 hours."
    return sum(fail_job(job=job, code="deadline_passed", message=message) for job in unfinished[:100])


def assemble_job(*, job_id: int) -> bool:
    """Join the units' results in input order into one safetensors file. Return False if there is nothing to do.

    The job's row stays locked meanwhile, so that the task's next run does not join the same results again.
    """
    with transaction.atomic():
        job = (
            InferenceJob.objects.select_for_update(skip_locked=True, of=["self"])
            .select_related("artifact")
            .filter(pk=job_id, status=InferenceJob.Status.ASSEMBLING)
            .first()
        )
        if job is None:
            return False
        try:
            blob = blobs.put_chunks(_joined(job), limit_bytes=settings.INPUT_MAX_BYTES)
        except blobs.TooLarge:
            transition(
                job,
                InferenceJob.Status.FAILED,
                code="result_too_large",
                finished_at=timezone.now(),
                message="The joined result is too large. Split the input.",
            )
            return True
        transition(
            job,
            InferenceJob.Status.COMPLETED,
            result_sha256=blob.sha256,
            result_bytes=blob.size_bytes,
            finished_at=timezone.now(),
        )
        workers.announce("jobs_ended")
    return True


def _joined(job: InferenceJob) -> Iterator[bytes]:
    """Yield the chunks of the joined file: its header, then each output over all units."""
    first = next(_unit_results(job))
    header = {
        name: tensors.Tensor(array.dtype.name, (job.items, *array.shape[1:])) for name, array in sorted(first.items())
    }

    def column(name: str) -> Iterator[bytes]:
        # One pass over the units for each output, so that memory holds only one page of small results or one large
        # result.
        for result in _unit_results(job):
            yield np.ascontiguousarray(result[name]).tobytes()

    return tensors.join_results(header, (column(name) for name in header))


def _unit_results(job: InferenceJob) -> Iterator[dict[str, tensors.Array]]:
    """Yield the accepted results in the order of the units. Raise Conflict `unit_incomplete` if one is missing."""
    for first in range(0, job.units_total, ASSEMBLE_PAGE):
        page = range(first, min(first + ASSEMBLE_PAGE, job.units_total))
        units = WorkUnit.objects.filter(job=job, index__gte=page.start, index__lt=page.stop, canonical__isnull=False)
        rows = units.order_by("index").values_list("index", "canonical__result", "canonical__result_sha256")
        accepted = {index: (inline, sha256) for index, inline, sha256 in rows}
        for index in page:
            if index not in accepted:
                raise Conflict(f"Unit {index} has no accepted result.", code="unit_incomplete")
            inline, sha256 = accepted[index]
            yield tensors.load_result(bytes(inline) if inline else blobs.read(sha256))
