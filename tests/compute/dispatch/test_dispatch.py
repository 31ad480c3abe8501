"""One round of dispatch: which nodes get units, and which never do."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.consents import consents
from accounts.models import ConsentCurrent
from compute.dispatch import dispatch
from compute.jobs import jobs
from compute.models import Attempt, HardwareClass, InferenceJob, Node, NodePresence, WorkUnit
from core.states import transition
from tests import factories
from tests.compute.helpers import execute, leased, one_unit, present, trust, unguarded, work
from tests.threads import in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unreplicated")]


def test_a_trusted_car_gets_one_copy_with_everything_that_names_it():
    (car,) = present()
    trust([car])
    unit = one_unit([car])
    (attempt,) = leased(car)
    current = ConsentCurrent.objects.get(vehicle=car.node.vehicle, purpose="run_jobs")
    assert (attempt.unit, attempt.job, attempt.fence) == (unit, unit.job, 1)
    assert (attempt.vehicle, attempt.owner) == (car.node.vehicle, car.node.vehicle.owner)
    assert attempt.consent_record == current.record
    ((now,),) = execute("SELECT now()")
    assert attempt.expires_at == now + timedelta(seconds=15)
    assert attempt.leased_at >= now
    unit.refresh_from_db()
    assert (unit.copies_wanted, unit.copies_live, unit.copies_made) == (1, 1, 1)
    assert unit.hardware_class == car.node.hardware_class


# Nodes that get work


def gone_unavailable(car):
    car.sync(available=False, reason="charge_low")


def gone_full(car):
    car.sync(capacity=0)


def gone_silent(car):
    execute("UPDATE compute_nodepresence SET last_sync_at = now() - make_interval(secs => %s)", dispatch.PRESENCE_S + 1)


def never_heard(car):
    NodePresence.objects.update(last_sync_at=None)


def suspended(car):
    transition(car.node, "suspended")


def retired(car):
    transition(car.node, "retired")


def sold(car):
    with unguarded():  # the rules would require that its consent ends first
        execute("UPDATE accounts_vehicle SET retired_at = now()")


def withdrawn(car):
    factories.decide(car.node.vehicle, "withdrawn")


def asked_again_and_refused(car):
    withdrawn(car)
    factories.decide(car.node.vehicle, "refused")


def dear(car):
    Node.objects.update(cost_micro_per_hour=70_001)


def small(car):
    HardwareClass.objects.update(memory_bytes=999_999)


GONE = [
    gone_unavailable,
    gone_full,
    gone_silent,
    never_heard,
    suspended,
    retired,
    sold,
    withdrawn,
    asked_again_and_refused,
    dear,
    small,
]


@pytest.mark.parametrize("gone", GONE)
def test_nothing_is_leased_to_a_car(gone):
    (car,) = present()
    trust([car])
    gone(car)
    factories.make_job()
    assert dispatch.dispatch() == 0
    assert not Attempt.objects.exists()


def test_nothing_is_leased_under_a_consent_that_ran_out(monkeypatch):
    car = factories.make_car(consent="")
    with monkeypatch.context() as patch:
        patch.setattr(consents, "_database_clock", lambda: datetime(2020, 1, 1, tzinfo=UTC))
        factories.decide(car.node.vehicle, "given")
    execute("UPDATE compute_nodepresence SET available = true, capacity = 2, last_sync_at = now()")
    factories.make_job()
    assert dispatch.dispatch() == 0


def test_a_price_that_just_covers_the_cost_is_offered():
    (car,) = present()
    trust([car])
    Node.objects.update(cost_micro_per_hour=70_000)
    factories.make_job()
    assert dispatch.dispatch() == 2


@pytest.mark.parametrize("consent", ["", "refused"])
def test_a_car_without_consent_is_told_and_offered_nothing(consent):
    car = factories.make_car(consent=consent)
    assert car.sync().withheld == f"consent_{consent or 'missing'}"
    execute("UPDATE compute_nodepresence SET available = true")
    factories.make_job()
    assert dispatch.dispatch() == 0


@pytest.mark.parametrize("status", ["queued", "assembling", "failed", "cancelled"])
def test_only_running_jobs_are_dispatched(status):
    trust(present())
    job = factories.make_job(planned=status != "queued")
    if status == "cancelled":
        jobs.cancel_job(job=job)
    elif status != "queued":
        transition(job, status)
    assert dispatch.dispatch() == 0


# Number of leases and order of units


def test_capacity_is_never_exceeded():
    (car,) = present(capacity=3)
    trust([car])
    factories.make_job(items=20, unit_items=2)
    assert [dispatch.dispatch(), dispatch.dispatch()] == [3, 0]
    work(car)
    car.sync(capacity=2)
    assert [dispatch.dispatch(), dispatch.dispatch()] == [2, 0]


def test_a_car_that_lowers_its_capacity_below_what_it_holds_gets_nothing():
    (car,) = present(capacity=3)
    trust([car])
    factories.make_job(items=20, unit_items=2)
    dispatch.dispatch()
    car.sync(capacity=1)
    assert dispatch.dispatch() == 0
    assert len(leased(car)) == 3


def test_higher_priority_goes_first_and_then_the_older():
    (car,) = present(capacity=1)
    trust([car])
    made = [factories.make_job(items=4, unit_items=4) for _ in range(3)]
    InferenceJob.objects.filter(pk=made[2].pk).update(priority=1)
    WorkUnit.objects.filter(job=made[2]).update(priority=1)
    order = []
    for _ in range(3):
        dispatch.dispatch()
        order.append(leased(car)[0].job_id)
        work(car)
        car.sync(capacity=1)
    assert order == [made[2].pk, made[0].pk, made[1].pk]


# Replication


def test_an_untrusted_cars_unit_goes_to_a_second_owner_in_its_class():
    owner = factories.make_owner()
    present(2, owner=owner)
    (stranger,) = present(hardware=msgspec.structs.replace(factories.HARDWARE, isa="avx512"))
    (other,) = present()
    unit = one_unit([])
    attempts = Attempt.objects.filter(unit=unit)
    assert len(attempts) == 2
    assert {a.owner_id for a in attempts} == {owner.pk, other.node.vehicle.owner_id}
    assert not leased(stranger)
    unit.refresh_from_db()
    assert (unit.copies_wanted, unit.hardware_class) == (2, other.node.hardware_class)


def test_one_owner_alone_never_confirms_itself():
    owner = factories.make_owner()
    present(3, owner=owner)
    unit = one_unit([])
    assert [dispatch.dispatch() for _ in range(3)] == [0, 0, 0]
    unit.refresh_from_db()
    assert (unit.copies_wanted, unit.copies_live) == (2, 1)


def test_fences_rise_with_each_try_and_never_repeat():
    cars = present(2)
    unit = one_unit(cars)
    for _ in range(3):
        execute("UPDATE compute_attempt SET status = 'expired' WHERE status = 'leased'")
        dispatch.dispatch()
    fences = list(Attempt.objects.filter(unit=unit).order_by("id").values_list("fence", flat=True))
    assert fences == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_car_that_failed_a_unit_does_not_get_it_again():
    first, second = present(2)
    trust([first, second])
    unit = one_unit([first, second])
    failed = first if leased(first) else second
    work(failed, outcome="error", code="oom")
    for _ in range(3):
        dispatch.dispatch()
    newest = Attempt.objects.filter(unit=unit).latest("fence")
    assert (newest.fence, newest.node) == (2, (second if failed is first else first).node)


# Rounds


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unhurried")
def test_two_dispatchers_at_once_never_double():
    cars = present(4, capacity=20)
    trust(cars)
    factories.make_job(items=60, unit_items=1)
    results = in_threads(*[lambda: [dispatch.dispatch() for _ in range(4)]] * 3)
    assert not [r for r in results if isinstance(r, Exception)], results
    assert sum(map(sum, results)) == Attempt.objects.count() == 60
    assert not WorkUnit.objects.exclude(copies_live=1).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unhurried")
def test_a_round_does_nothing_while_another_is_in_its_own():
    trust(present())
    factories.make_job()
    execute("SELECT pg_advisory_lock(%s)", dispatch.ROUND_LOCK)
    try:
        assert in_threads(dispatch.dispatch) == [0]
    finally:
        execute("SELECT pg_advisory_unlock(%s)", dispatch.ROUND_LOCK)
    assert dispatch.dispatch() == 2


def statements(units: int) -> int:
    factories.make_job(items=units, unit_items=1)
    with CaptureQueriesContext(connection) as captured:
        assert dispatch.dispatch() == units
    return len(captured)


def test_a_round_takes_as_many_statements_for_a_unit_as_for_two_hundred():
    cars = present(4, capacity=100)
    trust(cars)
    assert statements(1) == statements(200) <= 10


def test_an_idle_round_asks_two_questions(django_assert_max_num_queries):
    with django_assert_max_num_queries(4):
        assert dispatch.dispatch() == 0


def test_the_link_is_woken_once_for_a_round():
    trust(present(capacity=9))
    factories.make_job(items=9, unit_items=1)
    with CaptureQueriesContext(connection) as captured:
        dispatch.dispatch()
    assert sum("pg_notify" in query["sql"] for query in captured) == 1


# Units that must wait do not block units that could run


def test_units_that_nobody_can_run_do_not_hold_up_the_rest(monkeypatch):
    monkeypatch.setattr(dispatch, "ROUND_UNITS", 5)
    trust(present())
    hungry = factories.make_artifact(factories.make_organization(), memory_bytes=2**40)
    factories.make_job(hungry.organization, artifact=hungry, items=6, unit_items=1)
    possible = factories.make_job(items=1, unit_items=1)
    for _ in range(5):
        dispatch.dispatch()
    assert Attempt.objects.filter(job=possible).exists()


def test_a_unit_without_live_copies_may_go_to_another_class():
    (car,) = present()
    trust([car])
    unit = one_unit([car])
    execute("UPDATE compute_attempt SET status = 'expired' WHERE status = 'leased'")
    transition(car.node, "retired")
    trust(present(hardware=msgspec.structs.replace(factories.HARDWARE, isa="avx512")))
    dispatch.dispatch()
    unit.refresh_from_db()
    assert unit.copies_live == 1
