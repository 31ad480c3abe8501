"""Reported work becomes valid or invalid once, valid work becomes usage once, and trust changes with it."""

import pytest

from compute import blobs
from compute.dispatch import dispatch, verification
from compute.dispatch import trust as policy
from compute.jobs import jobs, results
from compute.models import Attempt, InferenceJob, Node, UsageRecord, WorkUnit
from tests import factories
from tests.compute.helpers import execute, leased, one_unit, present, settle, trust, work
from tests.threads import in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unreplicated")]


def statuses(unit: WorkUnit) -> list[tuple[str, str]]:
    return list(Attempt.objects.filter(unit=unit).order_by("fence").values_list("status", "status_code"))


def streaks(cars) -> list[int]:
    return [Node.objects.get(pk=car.node.pk).valid_streak for car in cars]


def test_one_copy_of_a_trusted_car_is_accepted():
    cars = present()
    trust(cars, 50)
    unit = one_unit(cars)
    assert verification.verify() == 0
    work(cars[0], compute_ms=3)
    assert verification.verify() == 1
    unit.refresh_from_db()
    assert (unit.status, unit.canonical.node) == ("accepted", cars[0].node)
    assert statuses(unit) == [("valid", "")]
    usage = UsageRecord.objects.get()
    assert (usage.attempt, usage.is_canonical, usage.items, usage.compute_ms) == (unit.canonical, True, 4, 3)
    assert (usage.owner, usage.organization) == (cars[0].node.vehicle.owner, unit.job.organization)
    assert streaks(cars) == [50], "trust grows only on replicated work"


def test_two_identical_copies_are_both_valid_and_one_is_canonical():
    cars = present(2)
    unit = one_unit(cars)
    work(cars[0])
    assert verification.verify() == 0
    work(cars[1])
    assert verification.verify() == 1
    assert statuses(unit) == [("valid", "")] * 2
    assert sorted(UsageRecord.objects.values_list("is_canonical", flat=True)) == [False, True]
    assert streaks(cars) == [1, 1]
    unit.job.refresh_from_db()
    assert unit.job.units_accepted == 1


@pytest.mark.parametrize(
    ("other", "agree"), [(1.0009, True), (0.9991, True), (1.01, False), (float("nan"), False), (-1.0, False)]
)
def test_different_copies_are_compared_by_tolerance(other, agree):
    cars = present(2)
    unit = one_unit(cars)
    work(cars[0])
    work(cars[1], value=other)
    assert verification.verify() == int(agree)
    unit.refresh_from_db()
    assert (unit.status, unit.copies_wanted) == (("accepted", 2) if agree else ("open", 3))
    assert {status for status, _ in statuses(unit)} == ({"valid"} if agree else {"reported"})


def test_the_jobs_own_tolerance_counts():
    cars = present(2)
    InferenceJob.objects.filter(pk=one_unit(cars).job_id).update(rtol=0.1)
    work(cars[0])
    work(cars[1], value=1.05)
    assert verification.verify() == 1


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_who_is_outvoted_is_invalid_unpaid_and_starts_again(liar):
    cars = present(2, capacity=1)
    cars += present(1, capacity=1)
    trust(cars, 5)
    unit = settle(one_unit(cars), {liar: 9.0}, cars)
    assert unit.status == "accepted"
    wrong = Attempt.objects.get(unit=unit, status="invalid") if Attempt.objects.filter(status="invalid") else None
    asked = Attempt.objects.filter(unit=unit, node=cars[liar].node).exists()
    assert (wrong is not None) == asked
    if wrong:
        assert (wrong.node, wrong.status_code) == (cars[liar].node, "outvoted")
        assert not UsageRecord.objects.filter(attempt=wrong).exists()
        assert streaks(cars)[liar] == 0
    honest = [streak for index, streak in enumerate(streaks(cars)) if index != liar]
    assert honest == [6, 6]
    assert UsageRecord.objects.filter(is_canonical=True).count() == 1
    assert UsageRecord.objects.count() == 2


def test_five_that_all_differ_fail_the_unit_and_the_job():
    cars = present(7)
    unit = settle(one_unit(cars), {i: 10.0**i for i in range(7)}, cars)
    assert (unit.status, unit.status_code, unit.copies_made) == ("failed", "no_quorum", policy.MAX_COPIES)
    assert not UsageRecord.objects.exists()
    assert jobs.finish_jobs() == 1
    unit.job.refresh_from_db()
    assert (unit.job.status, unit.job.status_code) == ("failed", "no_quorum")
    assert {status for status, _ in statuses(unit)} == {"cancelled"}


def test_a_result_that_cannot_be_read_any_more_agrees_with_nothing():
    cars = present(3)
    unit = one_unit(cars)
    first, second = (car for car in cars if leased(car))
    (attempt,) = leased(first)
    data = factories.result_of(unit, value=1.0)
    results.attach(node=first.node, attempt_id=attempt.pk, fence=attempt.fence, blob=blobs.put_bytes(data))
    first.sync(reports=(factories.protocol.Report(**{**_fields(first.report(attempt, result=data)), "result": b""}),))
    blobs.path_of(Attempt.objects.get(pk=attempt.pk).result_sha256).unlink()
    work(second, value=1.0005)
    assert verification.verify() == 0
    settle(unit, dict.fromkeys(range(3), 1.0005), cars)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.status_code) == ("invalid", "outvoted")


def _fields(report):
    return {name: getattr(report, name) for name in report.__struct_fields__}


# Paid quantities


def test_claimed_time_is_clamped_to_three_times_the_trial_and_energy_to_the_class():
    cars = present()
    trust(cars)
    one_unit(cars)  # 4 items of 1 ms each
    work(cars[0], compute_ms=10**9, energy_mwh=10**9)
    verification.verify()
    usage = UsageRecord.objects.get()
    assert usage.compute_ms == 12
    # 15 W for 12 ms, times 1.5: 0.075 mWh, rounded up
    assert usage.energy_mwh == 1


def test_a_slower_class_may_take_longer():
    cars = present()
    trust(cars)
    execute("UPDATE compute_hardwareclass SET slowness_permille = 2500")
    one_unit(cars)
    work(cars[0], compute_ms=10**9)
    verification.verify()
    assert UsageRecord.objects.get().compute_ms == 30


def test_honest_claims_are_paid_as_claimed():
    cars = present()
    trust(cars)
    one_unit(cars, artifact=factories.make_artifact(factories.make_organization(), us_per_item=60_000_000))
    work(cars[0], compute_ms=200_000, energy_mwh=700)
    verification.verify()
    assert UsageRecord.objects.values_list("compute_ms", "energy_mwh").get() == (200_000, 700)


def test_no_time_is_no_energy():
    cars = present()
    trust(cars)
    one_unit(cars)
    work(cars[0], compute_ms=0, energy_mwh=50)
    verification.verify()
    assert UsageRecord.objects.values_list("compute_ms", "energy_mwh").get() == (0, 0)


def test_verifying_again_changes_nothing():
    cars = present(2)
    unit = one_unit(cars)
    for car in cars:
        work(car)
    assert [verification.verify() for _ in range(3)] == [1, 0, 0]
    assert UsageRecord.objects.count() == 2
    assert streaks(cars) == [1, 1]
    unit.job.refresh_from_db()
    assert unit.job.units_accepted == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unhurried")
def test_several_verifiers_at_once_judge_each_unit_once():
    cars = present(2, capacity=30)
    job = factories.make_job(items=30, unit_items=1)
    dispatch.dispatch()
    for index, car in enumerate(cars):
        work(car, value=1 + index / 10_000)
    results = in_threads(*[lambda: sum(verification.verify() for _ in range(3))] * 3)
    assert not [r for r in results if isinstance(r, Exception)], results
    assert sum(results) == 30
    assert UsageRecord.objects.count() == 60
    assert streaks(cars) == [30, 30]
    job.refresh_from_db()
    assert job.units_accepted == 30


def test_verification_takes_as_many_statements_for_forty_units_as_for_two(django_assert_max_num_queries):
    cars = present(2, capacity=40)
    factories.make_job(items=40, unit_items=1)
    dispatch.dispatch()
    for car in cars:
        work(car)
    with django_assert_max_num_queries(25):
        assert verification.verify() == 40


# Trust


def test_a_car_is_trusted_after_ten_agreements_and_then_runs_alone():
    cars = present(2, capacity=1)
    for _ in range(policy.TRUSTED_AFTER):
        settle(one_unit(cars), {}, cars, rounds=1)
    assert streaks(cars) == [10, 10]
    unit = one_unit(cars)
    assert (unit.copies_wanted, Attempt.objects.filter(unit=unit).count()) == (1, 1)


def test_failing_is_not_lying():
    cars = present(2)
    trust(cars, 5)
    one_unit(cars)
    for car in cars:
        work(car, outcome="error", code="oom")
    verification.verify()
    assert streaks(cars) == [5, 5]


# Hopeless units


def test_a_unit_that_failed_on_three_cars_is_hopeless():
    cars = present(5)
    trust(cars)
    unit = one_unit(cars)
    for _ in range(policy.MAX_FAILURES - 1):
        assert verification.fail_hopeless_units() == 0
        for car in cars:
            work(car, outcome="error", code="model_crashed")
        dispatch.dispatch()
    for car in cars:
        work(car, outcome="error", code="model_crashed")
    assert verification.fail_hopeless_units() == 1
    assert verification.fail_hopeless_units() == 0
    unit.refresh_from_db()
    assert (unit.status, unit.status_code) == ("failed", "model_crashed")
    assert jobs.finish_jobs() == 1


def test_a_unit_that_is_never_finished_ends_after_twenty_tries():
    cars = present()
    trust(cars)
    unit = one_unit(cars)
    for _ in range(policy.MAX_ATTEMPTS):
        assert verification.fail_hopeless_units() == 0
        execute("UPDATE compute_attempt SET status = 'expired' WHERE status = 'leased'")
        if unit.attempts.count() < policy.MAX_ATTEMPTS:
            assert dispatch.dispatch() == 1
    assert verification.fail_hopeless_units() == 1
    unit.refresh_from_db()
    assert (unit.status_code, unit.copies_made) == ("too_many_attempts", 20)


def test_work_of_a_cancelled_job_is_not_judged():
    cars = present(2)
    unit = one_unit(cars)
    for car in cars:
        work(car)
    jobs.cancel_job(job=unit.job)
    assert verification.verify() == 0
    assert not UsageRecord.objects.exists()
    assert statuses(unit) == [("cancelled", "job_cancelled")] * 2


def test_work_reported_before_a_withdrawal_is_still_paid():
    cars = present(2)
    unit = one_unit(cars)
    for car in cars:
        work(car)
        factories.decide(car.node.vehicle, "withdrawn")
    assert verification.verify() == 1
    assert UsageRecord.objects.filter(job=unit.job).count() == 2
