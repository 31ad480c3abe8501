"""State machines: the tables allow the same changes as the models, and the database refuses all others."""

from itertools import product
from typing import Any

import pytest
from django.db import models
from django.utils import timezone

from accounts.models import DataExport, ErasureRequest, StateTransition
from billing.models import (
    Approval,
    CardDispute,
    CardTopUp,
    ConnectedAccount,
    Dispute,
    JobOrder,
    Payout,
    Refund,
    SavedCard,
    StripeCommand,
    StripeEvent,
)
from compute.dispatch import dispatch
from compute.jobs import jobs
from compute.models import Attempt, AttemptEvent, InferenceJob, ModelArtifact, Node, NodeEvent, WorkUnit
from core.errors import InvalidTransition
from core.states import transition
from tests import factories
from tests.compute.helpers import execute, leased, one_unit, present, refused, unguarded
from tests.threads import in_threads

pytestmark = pytest.mark.django_db

MACHINES: list[type[models.Model]] = [
    Node,
    ModelArtifact,
    InferenceJob,
    WorkUnit,
    Attempt,
    JobOrder,
    DataExport,
    ErasureRequest,
]
STRIPE_MACHINES = [CardTopUp, StripeCommand, StripeEvent]  # tests/billing/stripe/test_rules.py
MONEY_MACHINES = [
    Approval,
    CardDispute,
    ConnectedAccount,
    Dispute,
    Payout,
    Refund,
    SavedCard,
]  # tests/billing/test_states.py
# The minimum that each row needs. Foreign keys point to missing rows, because rows are inserted with triggers off.
BARE: dict[type[models.Model], dict[str, Any]] = {
    Node: {"vehicle_id": 1, "hardware_class_id": 1, "public_key": "00"},
    ModelArtifact: {"organization_id": 1, "name": "m", "sha256": "0" * 64, "size_bytes": 1},
    InferenceJob: {"organization_id": 1, "artifact_id": 1, "input_file_id": 1, "items": 1, "unit_items": 1},
    WorkUnit: {"job_id": 1, "index": 0, "first_item": 0, "items": 1, "input_sha256": "0" * 64, "input_bytes": 1},
    Attempt: {
        "unit_id": 1,
        "job_id": 1,
        "node_id": 1,
        "vehicle_id": 1,
        "owner_id": 1,
        "consent_record_id": 1,
        "fence": 1,
        "expires_at": timezone.now(),
    },
    JobOrder: {
        "job_id": 1,
        "organization_id": 1,
        "rate_card_id": 1,
        "price_micro_per_hour": 1,
        "owner_share_permille": 700,
        "estimate_low_micro": 1,
        "estimate_high_micro": 1,
        "held_micro": 1,
    },
    DataExport: {"owner_id": 1},
    ErasureRequest: {"owner_id": 1, "due_at": timezone.now()},
}
EVENTS = ["compute_nodeevent", "compute_modelartifactevent", "compute_inferencejobevent", "compute_attemptevent"]


def table(model: type[models.Model]) -> str:
    return model._meta.db_table


def pairs(model: type[models.Model]) -> list[tuple[str, str]]:
    return [(old, new) for old, news in model.TRANSITIONS.items() for new in news]


ALL = [(m, old, new) for m in MACHINES for old, new in product(m.Status.values, repeat=2) if old != new]
ILLEGAL = [case for case in ALL if case[1:] not in pairs(case[0])]
LEGAL = [case for case in ALL if case[1:] in pairs(case[0])]


def named(case: Any) -> str:
    return case._meta.model_name if isinstance(case, type) else str(case)


def staged(model: type[models.Model], status: str) -> Any:
    """Insert a row with that status while the rules are off."""
    closed = {"closed_at": timezone.now()} if model is JobOrder and status == "closed" else {}
    with unguarded():
        return model.objects.bulk_create([model(**BARE[model], status=status, **closed)])[0]


def unstage(model: type[models.Model], row: Any) -> None:
    """Delete the row before its foreign keys are checked."""
    with unguarded():
        execute(f"DELETE FROM {table(model)} WHERE id = %s", row.pk)


def move(model: type[models.Model], row: Any, new: str) -> None:
    also = ", closed_at = CASE WHEN %s = 'closed' THEN now() END" if model is JobOrder else ""
    execute(f"UPDATE {table(model)} SET status = %s{also} WHERE id = %s", *([new] * (2 if also else 1)), row.pk)


@pytest.mark.parametrize("model", MACHINES, ids=named)
def test_the_database_knows_the_transitions_of_the_model(model):
    rows = StateTransition.objects.filter(machine=table(model)).values_list("from_status", "to_status")
    assert sorted(rows) == sorted((str(old), str(new)) for old, new in pairs(model))
    assert set(model.TRANSITIONS) <= set(model.Status)


def test_the_database_knows_no_other_machine():
    known = {table(model) for model in [*MACHINES, *STRIPE_MACHINES, *MONEY_MACHINES]}
    assert set(StateTransition.objects.values_list("machine", flat=True)) == known


@pytest.mark.parametrize(("model", "old", "new"), ILLEGAL, ids=named)
def test_a_transition_that_is_not_allowed_is_refused(model, old, new):
    row = staged(model, old)
    # A closed order refuses every change, including its status, before the state machine is checked.
    with refused("DW002" if model is JobOrder else "DW001"):
        move(model, row, new)
    assert model.objects.get(pk=row.pk).status == old


@pytest.mark.parametrize(("model", "old", "new"), [c for c in LEGAL if c[0] is not JobOrder], ids=named)
def test_a_transition_that_is_allowed_leaves_its_event(model, old, new):
    row = staged(model, old)
    move(model, row, new)
    assert model.objects.get(pk=row.pk).status == new
    if hasattr(model, "events"):
        event = model.events.rel.related_model.objects.get(**{f"{model._meta.model_name}_id": row.pk})
        assert (event.from_status, event.to_status) == (old, new)
    unstage(model, row)


@pytest.mark.parametrize("model", [m for m in MACHINES if m is not JobOrder], ids=named)
@pytest.mark.parametrize("unknown", ["", "finished", "LEASED"])
def test_a_status_that_does_not_exist_is_refused(model, unknown):
    row = staged(model, model.Status.values[0])
    with refused("DW001"):
        move(model, row, unknown)


@pytest.mark.parametrize("model", [m for m in MACHINES if m is not JobOrder], ids=named)
def test_a_change_of_something_else_is_not_a_transition(model):
    for status in model.Status.values:
        row = staged(model, status)
        execute(f"UPDATE {table(model)} SET status = status WHERE id = %s", row.pk)
        if hasattr(model, "events"):
            assert not model.events.rel.related_model.objects.filter(
                **{f"{model._meta.model_name}_id": row.pk}
            ).exists()
        unstage(model, row)


def test_one_bad_row_refuses_the_whole_statement():
    job = factories.make_job(items=8, unit_items=4)
    first, second = job.units.order_by("index")
    execute("UPDATE compute_workunit SET status = 'cancelled' WHERE id = %s", first.pk)
    with refused("DW001"):
        execute("UPDATE compute_workunit SET status = 'accepted' WHERE job_id = %s", job.pk)
    second.refresh_from_db()
    assert second.status == "open"


def test_every_row_of_a_bulk_change_has_its_event():
    cars = present(2, capacity=3)
    factories.make_job(items=12, unit_items=4)
    assert dispatch.dispatch() == 6
    execute("UPDATE compute_attempt SET status = 'cancelled', status_code = 'drill' WHERE status = 'leased'")
    for car in cars:
        for attempt in Attempt.objects.filter(node=car.node):
            events = attempt.events.values_list("from_status", "to_status", "reason")
            assert list(events) == [("", "leased", ""), ("leased", "cancelled", "drill")]


def test_a_new_row_has_its_first_event_and_the_service_its_second():
    car = factories.make_car()
    assert list(NodeEvent.objects.filter(node=car.node).values_list("from_status", "to_status")) == [("", "active")]
    transition(car.node, "suspended", code="too_hot")
    newest = NodeEvent.objects.filter(node=car.node).last()
    assert (newest.from_status, newest.to_status, newest.reason) == ("active", "suspended", "too_hot")


@pytest.mark.parametrize("events", EVENTS)
def test_events_are_append_only(events):
    one_unit(present())
    transition(factories.make_artifact(factories.make_organization(), status="uploaded"), "checking")
    assert execute(f"SELECT count(*) FROM {events}")[0][0] > 0
    for attack in (
        f"UPDATE {events} SET reason = 'nothing happened'",
        f"UPDATE {events} SET at = now() - interval '1 day'",
        f"DELETE FROM {events}",
        f"TRUNCATE {events}",
    ):
        with refused("DW002"):
            execute(attack)


# The service


def test_transition_refuses_before_asking_the_database(django_assert_num_queries):
    job = factories.make_job()
    with django_assert_num_queries(0), pytest.raises(InvalidTransition):
        transition(job, "completed")
    assert job.status == "running"


def test_transition_writes_the_changes_with_the_status():
    job = factories.make_job()
    transition(job, "failed", code="why", message="because")
    job.refresh_from_db()
    assert (job.status, job.status_code, job.message) == ("failed", "why", "because")


def test_transition_of_a_row_that_moved_meanwhile_is_refused():
    stale = factories.make_job()
    jobs.cancel_job(job=stale)
    assert stale.status == "running"
    with pytest.raises(InvalidTransition):
        transition(stale, "failed")
    assert InferenceJob.objects.get(pk=stale.pk).status == "cancelled"
    assert stale.status == "running", "a refused transition must not change the object in memory"


@pytest.mark.django_db(transaction=True)
def test_of_many_that_try_at_once_one_wins():
    job = factories.make_job()

    def try_it():
        transition(InferenceJob(pk=job.pk, status="running"), "assembling")
        return "won"

    results = in_threads(*[try_it] * 6)
    assert results.count("won") == 1
    assert all(isinstance(other, InvalidTransition) for other in results if other != "won"), results
    assert job.events.filter(to_status="assembling").count() == 1


def test_an_attempt_has_one_event_for_each_step_of_its_life():
    cars = present(2)
    one_unit(cars)
    (attempt,) = leased(cars[0])
    cars[0].sync(reports=(cars[0].report(attempt),))
    steps = AttemptEvent.objects.filter(attempt=attempt).values_list("from_status", "to_status")
    assert list(steps) == [("", "leased"), ("leased", "reported")]
