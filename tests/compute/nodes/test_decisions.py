"""Decisions of operators about a node suspended for meter conflicts, and how its chain continues. No money moves."""

import uuid

import pytest
from django.core import mail as post
from django.urls import reverse

from accounts.mails import outbox
from accounts.models import AccessEvent, AuditEvent, Mail
from compute.agent.work.chain import ChainEnd
from compute.dispatch import dispatch, verification
from compute.models import Attempt, MeterConflict, MeterRecord, Node, NodeDecision, NodePresence, UsageRecord
from compute.nodes import decisions as node_decisions
from core.errors import Conflict, InvalidInput
from core.states import transition
from tests import factories
from tests.compute.helpers import execute, one_unit, present, refused
from tests.factories import Car

pytestmark = pytest.mark.django_db
WHY = "Ticket 4711: the car was restored from a backup"


@pytest.fixture
def car() -> Car:
    """Return a suspended car: it signed a second record under number 1."""
    (car,) = present()
    attempt = factories.lease_to(car)
    second = car.report(attempt, advance=False, compute_ms=999)
    car.sync(reports=(car.report(attempt),))
    car.sync(reports=(second,))
    assert state(car) == "suspended"
    return car


@pytest.fixture
def opal():
    return factories.make_user()


def state(car: Car) -> str:
    return Node.objects.get(pk=car.node.pk).status


def decide(car: Car, kind: str = "lift", *, actor, key: str = "k", reason: str = WHY) -> NodeDecision:
    return node_decisions.decide(node=car.node, kind=kind, reason=reason, idempotency_key=key, actor=actor)


def agreed(car: Car, answer) -> str:
    """Verify the server's record as the agent does (compute/agent/work/chain.py) and continue after it."""

    class Nothing:
        seq, digest = 0, ""

        def unacknowledged_count(self):
            return 0

        def kept_seq(self):
            return 0

        def continue_after(self, seq, digest):
            car.meter_seq, car.meter_hash = seq, digest
            return True

    end = ChainEnd(node=car.id, public_key=car.key.public_key(), store=Nothing())
    end.process(answer.chain)
    return end.agreed


def gets_work(car: Car) -> bool:
    car.sync()
    dispatch.dispatch()
    return Attempt.objects.filter(node=car.node, status="leased").exists()


def test_lifted_it_works_again_from_where_its_chain_ends(car, opal):
    row = decide(car, actor=opal)
    head = MeterRecord.objects.get()
    assert (row.meter_seq, row.meter_hash, row.through) == (1, head.hash, MeterConflict.objects.get())
    node = Node.objects.get(pk=car.node.pk)
    assert (node.status, node.status_code, node.valid_streak) == ("active", "suspension_lifted", 0)
    unit = one_unit([])
    answer = car.sync()
    assert answer.withheld == "node_resuming"
    assert (bytes(answer.chain.record), answer.leases) == (bytes(head.record), ())
    assert not gets_work(car)
    answer = car.sync(chain=agreed(car, answer))
    assert (answer.withheld, answer.chain) == ("", None)
    assert gets_work(car)
    attempt = Attempt.objects.get(node=car.node, status="leased", unit=unit)
    assert [ack.status for ack in car.sync(reports=(car.report(attempt),)).acks] == ["accepted"]
    assert MeterRecord.objects.get(seq=2).prev_hash == head.hash


def test_a_computer_of_an_old_copy_reports_what_it_has_and_finds_its_way(car, opal):
    """It continues from number 0, the state of its copy: again under number 1, and once far ahead."""
    decide(car, actor=opal)
    attempt = Attempt.objects.filter(node=car.node).first()
    wrong = [
        car.report(attempt, advance=False, seq=1, prev="0" * 64, compute_ms=7),
        car.report(attempt, advance=False, seq=2, prev="a" * 64),
    ]
    answer = car.sync(reports=(wrong[0],))
    assert [(ack.status, ack.code) for ack in answer.acks] == [("refused", "meter_conflict")]
    assert [(ack.status, ack.code) for ack in car.sync(reports=(wrong[1],)).acks] == [("refused", "meter_gap")]
    assert (state(car), MeterConflict.objects.count()) == (
        "active",
        2,
    )  # kept apart, and the node is not suspended again
    car.meter_seq, car.meter_hash = 0, "0" * 64
    car.sync(chain=agreed(car, answer))
    assert (car.meter_seq, NodePresence.objects.get(node=car.node).resuming) == (1, False)
    car.sync(reports=(car.report(attempt, advance=False, seq=1, prev="0" * 64, compute_ms=8),))
    assert state(car) == "suspended"  # the node has resumed, so this new conflict suspends it again
    decide(car, actor=opal, key="again")
    assert state(car) == "active"


def test_what_was_set_aside_stays_unpaid(car, opal):
    before = list(MeterRecord.objects.values())
    decide(car, actor=opal)
    car.sync()
    verification.verify()
    assert list(MeterRecord.objects.values()) == before
    assert not UsageRecord.objects.filter(meter_record__hash=MeterConflict.objects.get().hash).exists()


def test_another_answer_than_the_head_lets_nobody_work(car, opal):
    decide(car, actor=opal)
    for said in ("", "f" * 64, MeterConflict.objects.get().hash):
        assert car.sync(chain=said).withheld == "node_resuming"
    assert car.sync(chain="no digest").error == "malformed"


def test_twice_is_once_and_a_key_is_for_one_decision(car, opal):
    row = decide(car, actor=opal)
    assert decide(car, actor=opal) == row
    assert AuditEvent.objects.filter(action="conflict.decide").count() == 1
    assert Mail.objects.filter(kind="node-resumed", user=car.node.vehicle.owner.user).count() == 1
    for kind, key, code in (("keep", "k", "idempotency_conflict"), ("lift", "other", "node_not_suspended")):
        with pytest.raises(Conflict) as said:
            decide(car, kind, actor=opal, key=key)
        assert said.value.code == code


def test_the_reason_is_in_the_trail(car, opal):
    for reason, code in (("short", "reason_short"), ("x" * 501, "reason_too_long")):
        with pytest.raises(InvalidInput) as said:
            decide(car, actor=opal, reason=reason)
        assert said.value.code == code
    with pytest.raises(InvalidInput):
        decide(car, "pay", actor=opal)
    row = decide(car, "keep", actor=opal)
    event = AuditEvent.objects.get(action="conflict.decide")
    assert (event.actor, event.subject, event.details["reason"], event.details["decision"]) == (
        opal,
        car.id,
        WHY,
        "keep",
    )
    assert (row.kind, state(car)) == ("keep", "suspended")
    assert not Mail.objects.filter(kind__in=["node-resumed", "node-ended"]).exists()
    decide(car, actor=opal, key="later")  # first kept suspended, later lifted
    assert state(car) == "active"


def test_retired_it_is_dead_and_its_owner_is_told(car, opal):
    decide(car, "retire", actor=opal)
    node = Node.objects.get(pk=car.node.pk)
    assert (node.status, node.status_code) == ("retired", "meter_conflict")
    assert decide(car, "retire", actor=opal).kind == "retire"
    outbox.send_due()
    (message,) = [message for message in post.outbox if "disconnected" in message.subject]
    assert f"/vehicles/{car.node.vehicle.public_id}/computer" in message.body
    with pytest.raises(Conflict):
        decide(car, actor=opal, key="lift")


def test_only_what_conflicts_is_decided_about(opal):
    (car,) = present()
    with pytest.raises(Conflict) as said:
        decide(car, actor=opal)
    assert said.value.code == "node_not_suspended"
    transition(Node.objects.get(pk=car.node.pk), "suspended", code="by_hand")
    with pytest.raises(Conflict) as said:
        decide(car, actor=opal)
    assert said.value.code == "no_conflict"


def test_the_database_lets_none_work_that_nobody_lifted(car, opal):
    decide(car, "keep", actor=opal)
    with refused("DW001"):
        transition(Node.objects.get(pk=car.node.pk), "active")
    with refused("DW002"):
        execute("UPDATE compute_nodedecision SET kind = 'lift'")
    with refused("DW002"):
        execute("DELETE FROM compute_nodedecision")


# --- the back office
# -----------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(cast, client_of):
    client = client_of(cast.opal)
    client.post(reverse("access_reason"), {"category": "Abuse", "words": WHY, "next": "/operations/"})
    return client


def page(conflict: MeterConflict, name: str = "change") -> str:
    return reverse(f"admin:compute_meterconflict_{name}", args=[conflict.pk])


def test_the_evidence_is_side_by_side_and_the_look_is_written(car, desk):
    conflict = MeterConflict.objects.get()
    text = desk.get(page(conflict)).content.decode()
    for words in (
        conflict.hash,
        conflict.first.hash,
        "First in the chain; not paid",
        "Set aside: never paid",
        "Valid for this computer&#x27;s key",
        "999",
        "compute_ms",
        "Lift the suspension",
        bytes(conflict.signature).hex(),
    ):
        assert words in text
    assert text.count("evidence__differs") >= 4
    assert AccessEvent.objects.filter(owner=car.node.vehicle.owner, what__startswith="meter conflicts").exists()


def test_an_operator_decides_by_clicking(car, desk, cast):
    conflict = MeterConflict.objects.get()
    form = {"act": "lift", "reason": "", "key": str(uuid.uuid4())}
    assert "Give a reason" in desk.post(page(conflict, "decide"), form, follow=True).content.decode()
    assert "not complete" in desk.post(page(conflict, "decide"), {**form, "key": "x"}, follow=True).content.decode()
    form["reason"] = WHY
    for _ in range(2):  # a double click
        answer = desk.post(page(conflict, "decide"), form, follow=True).content.decode()
        assert "Lifted." in answer
    assert "Lift the suspension" not in answer
    assert "to continue after record 1" in answer
    assert WHY in answer
    assert NodeDecision.objects.get().decided_by == cast.opal
    listed = desk.get(reverse("admin:compute_meterconflict_changelist") + "?node__status__exact=suspended")
    assert "0 meter conflicts" in listed.content.decode()


def test_strangers_decide_nothing(car, client_of):
    conflict = MeterConflict.objects.get()
    client = client_of(car.node.vehicle.owner.user)
    assert client.post(
        page(conflict, "decide"), {"act": "lift", "reason": WHY, "key": str(uuid.uuid4())}
    ).status_code in (
        302,
        403,
        404,
    )
    assert state(car) == "suspended"
