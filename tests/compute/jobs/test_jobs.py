"""Jobs: sliced exactly, cancelled, finished, assembled in input order; also run twice and after crashes."""

import io
import threading
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization
from compute import blobs, tensors
from compute.artifacts import artifacts
from compute.dispatch import dispatch, verification
from compute.jobs import jobs
from compute.models import Attempt, InferenceJob, InputFile, WorkUnit
from core.errors import Conflict, DomainError, Forbidden, InvalidInput, InvalidTransition
from core.states import transition
from tests import factories
from tests.compute.helpers import execute, leased, never_the_victim, present, trust, until_somebody_waits_for_us, work
from tests.long import examples
from tests.threads import in_threads
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unreplicated")]


def input_file(organization: Organization, array: Any, file_format: str = "npy") -> InputFile:
    """Upload an input file as a customer does."""
    buffer = io.BytesIO()
    if file_format == "npy":
        np.save(buffer, array)
    else:
        buffer.write(safetensors.numpy.save(array if isinstance(array, dict) else {"x": array}))
    buffer.seek(0)
    return artifacts.upload_input(organization=organization, file_format=file_format, stream=buffer)[0]


def unit_arrays(job: InferenceJob, name: str = "x") -> list[np.ndarray]:
    return [safetensors.numpy.load(blobs.read(u.input_sha256))[name] for u in job.units.order_by("index")]


# Planning


@pytest.mark.parametrize("file_format", ["npy", "safetensors"])
@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(items=st.integers(1, 23), unit_items=st.integers(1, 30))
def test_units_are_exactly_the_items_in_order(file_format, items, unit_items):
    organization = factories.make_organization()
    array = np.random.default_rng(items).random((items, 4), dtype=np.float32)
    job = factories.make_job(
        organization, input_file=input_file(organization, array, file_format), unit_items=unit_items
    )
    units = list(job.units.order_by("index"))
    assert (job.status, job.units_total) == ("running", len(units))
    assert [u.index for u in units] == list(range(len(units)))
    assert [u.first_item for u in units] == list(range(0, items, unit_items))
    assert sum(u.items for u in units) == job.items == items
    parts = unit_arrays(job)
    assert [len(part) for part in parts] == [u.items for u in units]
    assert np.array_equal(np.concatenate(parts), array)
    assert all(u.input_bytes == len(blobs.read(u.input_sha256)) for u in units)


def test_planning_twice_plans_once():
    job = factories.make_job(planned=False)
    assert [jobs.plan_job(job_id=job.pk), jobs.plan_job(job_id=job.pk)] == [True, False]
    assert job.units.count() == 2
    assert jobs.plan_job(job_id=10**9) is False


@pytest.mark.django_db(transaction=True)
def test_two_planners_at_once_plan_once():
    job = factories.make_job(planned=False)
    results = in_threads(*[lambda: jobs.plan_job(job_id=job.pk)] * 3)
    assert sorted(results) == [False, False, True]
    assert job.units.count() == 2


@pytest.mark.parametrize("step", ["bulk_create", "transition"])
def test_a_crash_between_blobs_and_rows_leaves_a_job_that_can_be_planned(step, monkeypatch):
    job = factories.make_job(planned=False)

    def crash(*args: Any, **fields: Any) -> None:
        raise MemoryError("killed")

    with monkeypatch.context() as patch:
        owner, name = (WorkUnit.objects, "bulk_create") if step == "bulk_create" else (jobs, "transition")
        patch.setattr(owner, name, crash)
        with pytest.raises(MemoryError):
            jobs.plan_job(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.units.count()) == ("queued", 0)
    assert jobs.plan_job(job_id=job.pk)
    assert job.units.count() == 2


def test_large_jobs_are_written_in_batches(monkeypatch):
    monkeypatch.setattr(jobs, "PLAN_BATCH", 3)
    job = factories.make_job(items=10, unit_items=1)
    assert (job.units.count(), job.units_total) == (10, 10)


def test_units_are_about_a_minute_within_the_size_limit():
    organization = factories.make_organization()
    file = factories.make_input(organization, items=1000)
    for us_per_item, expected in [(1_000_000, 60), (60_000_000, 1), (10**12, 1), (1, 1000), (0, 1000)]:
        artifact = factories.make_artifact(organization, us_per_item=us_per_item)
        assert jobs.default_unit_items(artifact, file) == expected
    file.size_bytes = 1000 * 1024**2
    assert jobs.default_unit_items(factories.make_artifact(organization, us_per_item=1), file) == 64


# Refusals


def spec(name: str, dtype: str = "float32", shape: list[int | None] | None = None) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape or [None, 4]}


def zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("inputs", "given_file", "file_format"),
    [
        ([spec("x")], zeros(3, 5), "npy"),
        ([spec("x")], zeros(3, 4, 1), "npy"),
        ([spec("x")], zeros(3), "npy"),
        ([spec("x")], zeros(3, 4, dtype=np.float64), "npy"),
        ([spec("x"), spec("z")], zeros(3, 4), "npy"),
        ([spec("x")], {"z": zeros(3, 4)}, "safetensors"),
        ([spec("x"), spec("z")], {"x": zeros(3, 4)}, "safetensors"),
        ([spec("x")], {"x": zeros(3, 4), "z": zeros(3, 4)}, "safetensors"),
        ([spec("x")], {"": zeros(3, 4)}, "safetensors"),
        ([spec("x")], {"": zeros(3, 4), "z": zeros(3, 9)}, "safetensors"),
    ],
)
def test_inputs_that_are_not_the_models_are_refused(inputs, given_file, file_format):
    organization = factories.make_organization()
    artifact = factories.make_artifact(organization, inputs=inputs)
    file = input_file(organization, given_file, file_format)
    with pytest.raises(InvalidInput) as caught:
        jobs.check_inputs(artifact, file)
    assert caught.value.code == "input_mismatch"
    with pytest.raises(InvalidInput):
        factories.make_job(organization, artifact=artifact, input_file=file)
    assert not InferenceJob.objects.exists()


def test_only_admitted_models_of_active_organizations_run():
    organization = factories.make_organization()
    for status in ("uploaded", "checking", "refused"):
        with pytest.raises(Conflict) as caught:
            factories.make_job(organization, artifact=factories.make_artifact(organization, status=status))
        assert caught.value.code == "model_not_admitted"
    execute("UPDATE accounts_organization SET status = 'suspended'")
    organization.refresh_from_db()
    with pytest.raises(Forbidden) as caught:
        factories.make_job(organization)
    assert caught.value.code == "organization_suspended"


def test_a_job_has_a_limited_number_of_units(monkeypatch):
    monkeypatch.setattr(jobs, "UNITS_MAX", 3)
    with pytest.raises(DomainError) as caught:
        factories.make_job(items=4, unit_items=1)
    assert caught.value.code == "too_many_units"
    assert factories.make_job(items=3, unit_items=1).units_total == 3


# Cancelling


@pytest.mark.parametrize("at", ["queued", "running", "leased", "reported"])
def test_cancelling_closes_what_is_open_and_stops_what_runs(at):
    (car,) = present()
    trust([car])
    job = factories.make_job(planned=at != "queued")
    if at in ("leased", "reported"):
        dispatch.dispatch()
    if at == "reported":
        work(car)
    for _ in range(2):
        assert jobs.cancel_job(job=job).status == "cancelled"
    job.refresh_from_db()
    assert (job.status_code, job.finished_at is not None) == ("job_cancelled", True)
    assert set(job.units.values_list("status", "status_code")) <= {("cancelled", "job_cancelled")}
    assert set(job.attempts.values_list("status", "status_code")) <= {("cancelled", "job_cancelled")}
    assert [dispatch.dispatch(), verification.verify(), jobs.finish_jobs()] == [0, 0, 0]
    assert jobs.plan_job(job_id=job.pk) is False
    assert job.events.filter(to_status="cancelled").count() == 1


def test_what_was_valid_before_a_cancel_stays_valid():
    (car,) = present(capacity=1)
    trust([car])
    job = factories.make_job(items=2, unit_items=1)
    dispatch.dispatch()
    work(car)
    verification.verify()
    dispatch.dispatch()
    jobs.cancel_job(job=job)
    assert sorted(job.attempts.values_list("status", flat=True)) == ["cancelled", "valid"]
    assert sorted(job.units.values_list("status", flat=True)) == ["accepted", "cancelled"]


@pytest.mark.parametrize("status", ["assembling", "completed", "failed"])
def test_a_job_that_is_over_cannot_be_cancelled(status):
    job = factories.make_job()
    for step in {"failed": ["failed"], "assembling": ["assembling"]}.get(status, ["assembling", status]):
        transition(job, step)
    with pytest.raises(InvalidTransition):
        jobs.cancel_job(job=job)


def test_failing_a_job_that_is_over_changes_nothing():
    job = factories.make_job()
    jobs.cancel_job(job=job)
    assert jobs.fail_job(job=job, code="x", message="x") == 0


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unhurried")
def test_cancelling_while_a_car_reports_a_failure_succeeds():
    """The cancel locks units before attempts, the report attempts before units: the victim of the deadlock retries."""
    (car,) = present()
    trust([car])
    job = factories.make_job(items=1, unit_items=1)
    dispatch.dispatch()
    attempts_locked, units_locked = threading.Event(), threading.Event()
    tries = []

    def report() -> None:
        with transaction.atomic():
            never_the_victim()
            execute("SELECT FROM compute_attempt WHERE job_id = %s FOR UPDATE", job.pk)
            attempts_locked.set()
            assert units_locked.wait(PATIENCE_S)
            execute("UPDATE compute_attempt SET status = 'failed' WHERE job_id = %s", job.pk)

    def held_between(run: Any, sql: str, *arguments: Any) -> Any:
        """At its first try, the cancel continues to the attempts when the report already waits for its units."""
        if sql.startswith("UPDATE compute_attempt"):
            tries.append(sql)
            units_locked.set()
            if len(tries) == 1:
                until_somebody_waits_for_us()
        return run(sql, *arguments)

    def cancel() -> InferenceJob:
        assert attempts_locked.wait(PATIENCE_S)
        with connection.execute_wrapper(held_between):
            return jobs.cancel_job(job=job)

    results = in_threads(report, cancel)
    assert not [r for r in results if isinstance(r, Exception)], results
    assert len(tries) == 2, "the cancel was the victim, and tried again"
    assert InferenceJob.objects.get(pk=job.pk).status == "cancelled"


# Finishing


TWO_OUTPUTS = [spec("b", "int64", [None]), spec("a", "float32", [None, 3])]


def computed(job: InferenceJob) -> tuple[np.ndarray, np.ndarray]:
    """Compute the whole job on one trusted car, with two outputs that depend on the item's number."""
    (car,) = present(capacity=1)
    trust([car])
    wholes = np.arange(job.items), np.random.default_rng(1).random((job.items, 3), dtype=np.float32)
    for _ in range(job.units_total):
        dispatch.dispatch()
        (attempt,) = leased(car)
        part = slice(attempt.unit.first_item, attempt.unit.first_item + attempt.unit.items)
        data = safetensors.numpy.save({"b": wholes[0][part], "a": wholes[1][part]})
        car.sync(capacity=1, reports=(car.report(attempt, result=data),))
        verification.verify()
    return wholes


def test_results_are_joined_in_input_order():
    organization = factories.make_organization()
    job = factories.make_job(
        organization, items=11, unit_items=3, artifact=factories.make_artifact(organization, outputs=TWO_OUTPUTS)
    )
    execute("UPDATE compute_workunit SET priority = index")  # the last unit first
    assert jobs.assemble_job(job_id=job.pk) is False
    numbers, floats = computed(job)
    assert jobs.finish_jobs() == 1
    assert [jobs.assemble_job(job_id=job.pk) for _ in range(2)] == [True, False]
    job.refresh_from_db()
    assert (job.status, job.units_accepted) == ("completed", 4)
    data = blobs.read(job.result_sha256)
    assert len(data) == job.result_bytes
    read = safetensors.numpy.load(data)
    assert np.array_equal(read["b"], numbers)
    assert np.array_equal(read["a"], floats)
    assert tensors.describe(blobs.path_of(job.result_sha256), "safetensors")["a"].shape == (11, 3)


def test_a_crash_while_assembling_leaves_a_job_that_can_be_assembled(monkeypatch):
    organization = factories.make_organization()
    job = factories.make_job(
        organization, items=4, unit_items=2, artifact=factories.make_artifact(organization, outputs=TWO_OUTPUTS)
    )
    computed(job)
    jobs.finish_jobs()
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "transition", lambda *a, **k: (_ for _ in ()).throw(MemoryError("killed")))
        with pytest.raises(MemoryError):
            jobs.assemble_job(job_id=job.pk)
    assert InferenceJob.objects.get(pk=job.pk).status == "assembling"
    assert jobs.assemble_job(job_id=job.pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unhurried")
def test_two_assemblers_at_once_complete_once():
    organization = factories.make_organization()
    job = factories.make_job(
        organization, items=4, unit_items=2, artifact=factories.make_artifact(organization, outputs=TWO_OUTPUTS)
    )
    computed(job)
    jobs.finish_jobs()
    assert sorted(in_threads(*[lambda: jobs.assemble_job(job_id=job.pk)] * 3)) == [False, False, True]
    assert job.events.filter(to_status="completed").count() == 1


def test_a_job_is_not_finished_while_a_unit_is_open():
    (car,) = present(capacity=1)
    trust([car])
    job = factories.make_job(items=2, unit_items=1)
    dispatch.dispatch()
    work(car)
    verification.verify()
    assert jobs.finish_jobs() == 0
    assert InferenceJob.objects.get(pk=job.pk).units_accepted == 1


def test_one_failed_unit_fails_the_job_and_stops_the_rest():
    (car,) = present()
    trust([car])
    job = factories.make_job(items=3, unit_items=1)
    dispatch.dispatch()
    execute("UPDATE compute_workunit SET status = 'failed', status_code = 'no_quorum' WHERE index = 2")
    assert [jobs.finish_jobs(), jobs.finish_jobs()] == [1, 0]
    job.refresh_from_db()
    assert (job.status, job.status_code, job.message) == ("failed", "no_quorum", "Unit 2 could not be computed.")
    assert set(Attempt.objects.values_list("status", "status_code")) == {("cancelled", "no_quorum")}


def test_units_and_results_that_would_be_too_large_are_refused_before_any_money(settings):
    organization = factories.make_organization()
    wide = factories.make_artifact(organization, profile={"output_bytes_per_item": 1000})
    settings.RESULT_MAX_BYTES = 5000
    with pytest.raises(InvalidInput) as caught:
        factories.make_job(organization, items=8, unit_items=8, artifact=wide, planned=False)
    assert caught.value.code == "unit_too_large"
    assert jobs.default_unit_items(wide, factories.make_input(organization, items=8)) == 5
    settings.INPUT_MAX_BYTES = 7000
    with pytest.raises(InvalidInput) as caught:
        factories.make_job(organization, items=8, unit_items=4, artifact=wide, planned=False)
    assert caught.value.code == "result_too_large"


def test_a_job_that_is_not_done_in_a_day_ends():
    job = factories.make_job()
    assert jobs.fail_overdue() == 0
    InferenceJob.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(hours=25))
    assert jobs.fail_overdue() == 1
    job.refresh_from_db()
    assert (job.status, job.status_code) == ("failed", "deadline_passed")
