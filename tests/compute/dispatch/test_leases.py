"""Leases: delivered, renewed, lost and cancelled, and the grants that come with them."""

import threading
import time

import pytest
from django.core import signing
from django.db import connection, transaction

from compute import protocol
from compute.dispatch import dispatch, leases
from compute.dispatch.leases import GRANT_SALT, check_grant
from compute.jobs import jobs
from compute.link import outbound_messages
from compute.models import Attempt, AttemptEvent
from core.errors import Forbidden
from tests import factories
from tests.compute.helpers import execute, leased, one_unit, present, trust, until_somebody_waits_for_us
from tests.threads import in_threads
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.django_db


def age(seconds: float, column: str = "expires_at") -> None:
    """Make every lease look as if this much time had passed."""
    execute(f"UPDATE compute_attempt SET {column} = {column} - make_interval(secs => %s)", seconds)


def renewals(*attempts: Attempt) -> tuple[protocol.Renewal, ...]:
    return tuple(protocol.Renewal(attempt=a.pk, fence=a.fence) for a in attempts)


def cancels(answer: protocol.SyncResponse) -> list[tuple[int, str]]:
    return [(cancel.attempt, cancel.code) for cancel in answer.cancels]


@pytest.fixture
def car():
    (car,) = present()
    return car


@pytest.fixture
def attempt(car):
    return factories.lease_to(car)


def test_a_lease_says_all_that_the_car_needs(car):
    job = factories.make_job(items=4, unit_items=4)
    attempt = factories.lease_to(car, job)
    (lease,) = car.sync().leases
    unit, model = attempt.unit, job.artifact
    assert (lease.attempt, lease.fence, lease.items, lease.batch) == (attempt.pk, attempt.fence, 4, model.batch)
    assert (lease.model_sha256, lease.model_bytes) == (model.sha256, model.size_bytes)
    assert (lease.input_sha256, lease.input_bytes) == (unit.input_sha256, unit.input_bytes)
    assert (lease.outputs, lease.memory_bytes) == (("y",), model.memory_bytes)
    assert 13_000 < lease.expires_in_ms <= 15_000
    assert lease.time_limit_ms == 30_000


def test_a_lease_is_delivered_once(car, attempt):
    assert [lease.attempt for lease in car.sync().leases] == [attempt.pk]
    assert car.sync(running=renewals(attempt)).leases == ()
    assert car.sync().leases == (), "not yet: the push may still be on its way"


def test_a_lease_that_its_car_does_not_mention_is_said_again(car, attempt):
    car.sync()
    age(leases.REDELIVER_AFTER_S + 1, "delivered_at")
    assert car.sync(running=renewals(attempt)).leases == ()
    (again,) = car.sync().leases
    assert (again.attempt, again.fence) == (attempt.pk, attempt.fence)


def test_an_expired_lease_is_never_delivered(car, attempt):
    age(16)
    assert car.sync().leases == ()


def test_mentioning_a_lease_renews_it(car, attempt):
    age(10)
    car.sync(running=renewals(attempt))
    left = execute("SELECT extract(epoch FROM expires_at - now()) FROM compute_attempt")[0][0]
    assert 14 < left <= 15


@pytest.mark.parametrize("fence", [0, 2, 99])
def test_an_old_fence_renews_nothing(car, attempt, fence):
    age(10)
    answer = car.sync(running=(protocol.Renewal(attempt=attempt.pk, fence=fence),))
    assert cancels(answer) == [(attempt.pk, "lease_lost")]
    assert execute("SELECT expires_at < now() + interval '6 s' FROM compute_attempt") == [(True,)]


def test_another_cars_lease_is_not_renewed(attempt):
    (thief,) = present()
    age(10)
    assert cancels(thief.sync(running=renewals(attempt))) == [(attempt.pk, "lease_lost")]
    assert execute("SELECT expires_at < now() + interval '6 s' FROM compute_attempt") == [(True,)]


def test_a_lease_not_renewed_in_time_expires_and_the_unit_is_open_again(car, attempt):
    assert dispatch.expire_leases() == 0
    age(16)
    assert [dispatch.expire_leases(), dispatch.expire_leases()] == [1, 0]
    attempt.refresh_from_db()
    assert (attempt.status, attempt.status_code) == ("expired", "lease_expired")
    assert attempt.ended_at is not None
    attempt.unit.refresh_from_db()
    assert attempt.unit.copies_live == 0
    assert cancels(car.sync(running=renewals(attempt))) == [(attempt.pk, "lease_lost")]


def test_expiry_works_in_bounded_steps(car):
    car.sync(capacity=5)
    trust([car])
    factories.make_job(items=5, unit_items=1)
    dispatch.dispatch()
    age(16)
    assert [dispatch.expire_leases(limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_silent_car_gets_no_more_until_it_speaks(car, attempt):
    age(16)
    execute("UPDATE compute_nodepresence SET last_sync_at = now() - interval '10 s'")
    dispatch.expire_leases()
    assert dispatch.dispatch() == 0
    car.sync()
    execute("UPDATE compute_workunit SET not_before_at = NULL")  # dispatch was skipping it until a second owner appears
    assert dispatch.dispatch() == 0  # the node does not get the unit again that it has just lost
    execute("UPDATE compute_attempt SET ended_at = ended_at - interval '61 s'")
    execute("UPDATE compute_workunit SET not_before_at = NULL")
    assert dispatch.dispatch() == 1


def test_a_renewal_that_comes_before_the_sweep_still_counts(car, attempt):
    """A lease ends only when the sweep expires it. Until then no other node has the unit, so the work is not wasted."""
    age(16)
    assert cancels(car.sync(running=renewals(attempt))) == []
    assert dispatch.expire_leases() == 0


# Cancels


def test_a_cancel_is_told_once_and_with_its_reason(car, attempt):
    jobs.cancel_job(job=attempt.job)
    assert cancels(car.sync(running=renewals(attempt))) == [(attempt.pk, "job_cancelled")]
    assert cancels(car.sync()) == []


def test_a_cancel_whose_message_was_lost_is_a_lost_lease(car, attempt):
    jobs.cancel_job(job=attempt.job)
    car.sync()
    assert cancels(car.sync(running=renewals(attempt))) == [(attempt.pk, "lease_lost")]


def test_a_withdrawal_is_told_with_its_reason_and_nothing_more_is_offered(car, attempt):
    factories.decide(car.node.vehicle, "withdrawn")
    answer = car.sync(running=renewals(attempt))
    assert (cancels(answer), answer.withheld) == ([(attempt.pk, "consent_withdrawn")], "consent_withdrawn")
    assert answer.next_sync_ms == 15_000
    factories.make_job()
    assert dispatch.dispatch() == 0


def test_what_a_car_cancelled_itself_is_not_told_back(car, attempt):
    car.sync(reports=(car.report(attempt, outcome="cancelled", code="driving"),))
    assert cancels(car.sync()) == []


def test_which_rule_of_its_owner_stopped_a_car_is_not_kept_with_the_work(car, attempt):
    """A dated list of departures would need the consent to `availability`."""
    car.sync(reports=(car.report(attempt, outcome="cancelled", code="driving"),))
    assert Attempt.objects.get(pk=attempt.pk).status_code == "stopped_by_car"
    assert not AttemptEvent.objects.filter(reason="driving").exists()


def test_cancels_of_one_car_are_not_told_to_another(car, attempt):
    (other,) = present()
    car.sync(carrier="nats", running=renewals(attempt))
    jobs.cancel_job(job=attempt.job)
    assert cancels(other.sync()) == []
    assert leases.take_cancels([other.node.pk]) == {}
    assert list(leases.take_cancels()) == [car.node.pk]


# Nodes that get pushes


def test_only_cars_on_nats_wait_for_a_push(car):
    (fast,) = present(capacity=1)
    fast.sync(carrier="nats", capacity=1)
    one_unit([car, fast])
    assert len(leased(car)) == len(leased(fast)) == 1
    assert leases.waiting_nodes() == [fast.node.pk]
    ((subject, data),) = outbound_messages.take_pushes()
    assert subject == f"cmd.{fast.id}"
    assert [lease.attempt for lease in protocol.unpack_push(data).leases] == [leased(fast)[0].pk]
    assert outbound_messages.take_pushes() == []
    assert leases.waiting_nodes() == []
    assert len(car.sync().leases) == 1


def test_many_leases_are_pushed_in_messages_that_nats_takes():
    (car,) = present()
    trust([car])
    car.sync(carrier="nats", capacity=130)
    factories.make_job(items=130, unit_items=1)
    dispatch.dispatch()
    pushes = outbound_messages.take_pushes()
    assert [len(protocol.unpack_push(data).leases) for _, data in pushes] == [50, 50, 30]
    assert all(len(data) < protocol.NATS_MAX_PAYLOAD_BYTES for _, data in pushes)


def test_a_car_on_https_hears_the_reason_although_the_link_swept(car, attempt):
    factories.decide(car.node.vehicle, "withdrawn")
    outbound_messages.take_pushes()
    assert cancels(car.sync(running=renewals(attempt))) == [(attempt.pk, "consent_withdrawn")]


# Grants


def test_a_grant_is_for_one_node_and_its_two_digests(car, attempt):
    (lease,) = car.sync().leases
    for sha256 in (lease.model_sha256, lease.input_sha256):
        check_grant(lease.grant, node=car.id, sha256=sha256)
    for node, sha256 in ((factories.make_car().id, lease.input_sha256), (car.id, "0" * 64), (car.id, car.id)):
        with pytest.raises(Forbidden) as caught:
            check_grant(lease.grant, node=node, sha256=sha256)
        assert caught.value.code == "grant_invalid"


def test_a_grant_does_not_last(car, attempt, monkeypatch):
    (lease,) = car.sync().leases
    later = time.time() + leases.GRANT_MAX_AGE_S + 1
    monkeypatch.setattr(signing.time, "time", lambda: later)
    with pytest.raises(Forbidden):
        check_grant(lease.grant, node=car.id, sha256=lease.input_sha256)


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "x",
        "a:b:c",
        "\0",
        signing.dumps(["node", "0" * 64], salt="another"),
        signing.dumps(7, salt=GRANT_SALT),
        signing.dumps([], salt=GRANT_SALT),
        signing.dumps(["node", "0" * 64], key="k" * 50, salt=GRANT_SALT),
    ],
    ids=range(8),
)
def test_a_forged_grant_is_refused(forged):
    with pytest.raises(Forbidden):
        check_grant(forged, node="node", sha256="0" * 64)


# Locks

DEADLOCK = "expire_leases locks attempts before presence rows, sync the other way round; it is not retried"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unhurried")
def test_expiry_and_a_late_renewal_do_not_deadlock():
    (car,) = present()
    attempt = factories.lease_to(car)
    execute("UPDATE compute_attempt SET expires_at = now() - interval '1 s'")
    execute("UPDATE compute_nodepresence SET last_sync_at = now() - interval '10 s'")
    locked, swept = threading.Event(), []

    def renew_late():
        with transaction.atomic():
            execute("SELECT FROM compute_nodepresence WHERE node_id = %s FOR NO KEY UPDATE", car.node.pk)
            locked.set()
            until_somebody_waits_for_us()  # the sweep has ended the lease and waits to mark the car as away
            leases.renew({car.node.pk: renewals(attempt)})

    def expire():
        assert locked.wait(PATIENCE_S)
        swept.append(dispatch.expire_leases())

    results = in_threads(renew_late, expire)
    assert not [r for r in results if isinstance(r, Exception)], results
    assert swept
    assert connection.is_usable()
