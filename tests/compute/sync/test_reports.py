"""Reports of nodes: which are accepted, which are refused and why, and which are kept as evidence."""

import json
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEvent, Mail
from compute import blobs, protocol
from compute.dispatch import dispatch, verification
from compute.jobs import jobs, results
from compute.models import Attempt, MeterConflict, MeterRecord, Node, NodePresence, UsageRecord
from compute.sync import conflicts as meter_conflicts
from compute.sync import sync
from core.errors import Conflict, InvalidInput, NotFound
from tests import factories
from tests.compute.helpers import execute, leased, one_unit, present, refused, trust
from tests.factories import Car

pytestmark = pytest.mark.django_db


@pytest.fixture
def car() -> Car:
    (car,) = present()
    return car


@pytest.fixture
def attempt(car: Car) -> Attempt:
    return factories.lease_to(car)


def tell(car: Car, *reports: protocol.Report) -> list[tuple[str, str]]:
    """Send the reports and return (status, code) of each ack."""
    answer = car.sync(reports=reports)
    assert answer.error == ""
    assert [ack.attempt for ack in answer.acks] == [report.attempt for report in reports]
    return [(ack.status, ack.code) for ack in answer.acks]


def state(attempt: Attempt) -> tuple[str, str]:
    attempt.refresh_from_db()
    return attempt.status, attempt.status_code


def with_record(report: protocol.Report, car: Car, record: bytes) -> protocol.Report:
    """Return the same report with other record bytes, signed again."""
    signature = car.key.sign(protocol.signed_bytes(record))
    return changed(report, record=record, signature=signature)


def falsified(report: protocol.Report, car: Car, **fields: Any) -> protocol.Report:
    """Return the same report with changed fields in its record, signed again."""
    payload = changed(protocol.unpack_meter(report.record), **fields)
    return with_record(report, car, protocol.meter_bytes(payload))


changed = msgspec.structs.replace


def test_a_good_report_is_accepted_and_kept_byte_for_byte(car, attempt):
    report = car.report(attempt, compute_ms=1234, energy_mwh=5)
    assert tell(car, report) == [("accepted", "")]
    assert state(attempt) == ("reported", "")
    assert attempt.reported_at is not None
    assert attempt.ended_at is None
    assert bytes(attempt.result) == report.result
    record = MeterRecord.objects.get()
    assert bytes(record.record) == report.record
    assert bytes(record.signature) == report.signature
    assert (record.seq, record.compute_ms, record.energy_mwh, record.outcome) == (1, 1234, 5, "ok")
    head = NodePresence.objects.get(pk=car.node.pk)
    assert (head.meter_seq, head.meter_hash) == (1, protocol.meter_hash(report.record))


def test_a_report_again_after_a_lost_ack_is_a_duplicate(car, attempt):
    report = car.report(attempt)
    assert tell(car, report) == [("accepted", "")]
    for _ in range(2):
        assert tell(car, report) == [("duplicate", "")]
    assert MeterRecord.objects.count() == 1
    assert state(attempt) == ("reported", "")


def test_the_same_report_twice_in_one_sync_counts_once(car, attempt):
    report = car.report(attempt)
    tell(car, report, report)
    assert MeterRecord.objects.count() == 1
    assert state(attempt) == ("reported", "")


def test_an_old_fence_is_refused_and_kept_as_evidence(car, attempt):
    report = car.report(attempt, fence=attempt.fence - 1)
    assert tell(car, changed(report, fence=attempt.fence - 1)) == [("refused", "stale_fence")]
    assert state(attempt)[0] == "leased"
    assert MeterRecord.objects.get().attempt == attempt


@pytest.mark.parametrize(
    ("ended", "code"),
    [("expired", "stale_fence"), ("cancelled", "drill"), ("failed", "stale_fence")],
)
def test_work_after_the_lease_is_gone_is_evidence_only(car, attempt, ended, code):
    Attempt.objects.filter(pk=attempt.pk).update(status=ended, status_code="drill")
    assert tell(car, car.report(attempt)) == [("refused", code)]
    assert state(attempt) == (ended, "drill")
    assert MeterRecord.objects.count() == 1


def test_work_reported_after_withdrawal_is_not_taken(car, attempt):
    factories.decide(car.node.vehicle, "withdrawn")
    assert tell(car, car.report(attempt)) == [("refused", "consent_withdrawn")]
    assert state(attempt) == ("cancelled", "consent_withdrawn")


def test_another_nodes_attempt_is_foreign(car, attempt):
    (thief,) = present()
    assert tell(thief, thief.report(attempt)) == [("refused", "foreign_attempt")]
    assert state(attempt)[0] == "leased"
    # The record is kept as evidence against the thief, without an attempt, and the thief's chain continues.
    assert MeterRecord.objects.get().attempt_id is None
    assert NodePresence.objects.get(pk=thief.node.pk).meter_seq == 1


def test_an_attempt_that_never_was_is_foreign(car, attempt):
    report = falsified(car.report(attempt), car, attempt=10**9)
    assert tell(car, changed(report, attempt=10**9)) == [("refused", "foreign_attempt")]


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\0" * 63, b"\xff" * 200], ids=len)
def test_a_broken_signature_is_refused(car, attempt, signature):
    report = changed(car.report(attempt, advance=False), signature=signature)
    assert tell(car, report) == [("refused", "signature_invalid")]
    assert MeterRecord.objects.count() == 0
    assert tell(car, car.report(attempt)) == [("accepted", "")]


def test_another_nodes_key_does_not_sign_for_this_one(car, attempt):
    car.key, own = Ed25519PrivateKey.generate(), car.key
    assert tell(car, car.report(attempt, advance=False)) == [("refused", "signature_invalid")]
    car.key = own
    assert tell(car, car.report(attempt)) == [("accepted", "")]


def test_a_signature_of_the_bare_record_is_not_one_of_a_meter_record(car, attempt):
    report = car.report(attempt, advance=False)
    assert tell(car, changed(report, signature=car.key.sign(report.record))) == [("refused", "signature_invalid")]


RECORDS = [b"", b"{}", b"\xff", b"[" * 5000, b'{"v":' * 5000, b'{"v":1,"node":"\xff"}', b"\x80", b"null", b"x" * 4000]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: repr(r[:12]))
def test_bytes_that_are_no_record_are_refused(car, attempt, record):
    report = with_record(car.report(attempt, advance=False), car, record)
    assert tell(car, report) == [("refused", "record_invalid")]
    assert MeterRecord.objects.count() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"node": "00000000-0000-0000-0000-000000000000"},
        {"attempt": 1},
        {"fence": 77},
        {"outcome": "error"},
        {"compute_ms": -1},
        {"energy_mwh": -1},
        {"compute_ms": 2**63},
        {"compute_ms": 2**62},
        {"energy_mwh": 2**63},
        {"energy_method": "x" * 33},
        {"energy_method": "a\0b"},
        {"energy_method": ""},
        {"output": "g" * 65},
        {"output": "0" * 63},
        {"seq": 0},
        {"seq": -1},
        {"seq": 2**63},
    ],
    ids=str,
)
def test_a_record_about_something_else_or_out_of_range_is_refused(car, attempt, fields):
    report = falsified(car.report(attempt, advance=False), car, **fields)
    assert tell(car, report) == [("refused", "record_invalid")]
    assert state(attempt)[0] == "leased"


def test_a_record_larger_than_any_agent_writes_is_refused(car, attempt):
    report = falsified(car.report(attempt, advance=False), car, agent="a" * 9000)
    assert tell(car, report) == [("refused", "record_invalid")]
    assert MeterRecord.objects.count() == 0


@pytest.mark.parametrize("seq", [2, 3, 1000])
def test_a_gap_in_the_chain_is_refused(car, attempt, seq):
    assert tell(car, car.report(attempt, advance=False, seq=seq)) == [("refused", "meter_gap")]


def test_a_record_that_does_not_continue_the_chain_is_refused(car, attempt):
    assert tell(car, car.report(attempt, advance=False, prev="f" * 64)) == [("refused", "meter_gap")]


def test_two_records_of_one_number_conflict(car, attempt):
    other = car.report(attempt, advance=False, compute_ms=999)
    assert tell(car, car.report(attempt)) == [("accepted", "")]
    assert tell(car, other) == [("refused", "meter_conflict")]
    assert MeterRecord.objects.get().compute_ms == 10


def test_a_second_record_of_a_number_is_set_aside_and_its_node_paused(car, attempt):
    trust([car])
    other = car.report(attempt, advance=False, compute_ms=999)
    tell(car, car.report(attempt))
    for _ in range(2):  # the agent may send it again: it gets the same answer, and nothing is written twice
        assert tell(car, other) == [("refused", "meter_conflict")]
    conflict, first = MeterConflict.objects.get(), MeterRecord.objects.get()
    assert (conflict.first, conflict.node, conflict.seq) == (first, car.node, 1)
    assert (bytes(conflict.record), bytes(conflict.signature)) == (other.record, other.signature)
    node = Node.objects.get(pk=car.node.pk)
    assert (node.status, node.status_code, node.valid_streak) == ("suspended", "meter_conflict", 0)
    assert node.events.latest("id").reason == "meter_conflict"
    assert Mail.objects.filter(kind="node-paused", user=car.node.vehicle.owner.user).count() == 1
    assert AuditEvent.objects.get(action="node.suspend").subject == car.id
    assert car.sync().withheld == "node_suspended"
    verification.verify()
    assert not UsageRecord.objects.filter(meter_record__hash=conflict.hash).exists()


def test_two_records_of_one_number_in_one_sync_conflict_too(car, attempt):
    other = car.report(attempt, advance=False, outcome="error")
    tell(car, other, car.report(attempt))
    assert MeterRecord.objects.count() == MeterConflict.objects.count() == 1
    assert Node.objects.get(pk=car.node.pk).status == "suspended"


def test_a_node_that_conflicts_without_end_fills_no_disk(car, attempt, monkeypatch):
    monkeypatch.setattr(meter_conflicts, "KEPT_MAX", 2)
    tell(car, car.report(attempt))
    for claim in range(4):
        other = car.report(attempt, advance=False, seq=1, prev=protocol.GENESIS_HASH, compute_ms=claim)
        assert tell(car, other) == [("refused", "meter_conflict")]
    assert MeterConflict.objects.count() == 2


def test_replaying_every_report_of_a_node_inserts_nothing():
    """docs/metering.md promises that the unique keys of the paying database prevent duplicates."""
    cars = present(2)
    unit = one_unit(cars)
    reports = {car.id: tuple(car.report(a) for a in leased(car)) for car in cars}
    for car in cars:
        car.sync(reports=reports[car.id])
    verification.verify()
    before = [list(model.objects.order_by("pk").values()) for model in (MeterRecord, UsageRecord)]
    assert [len(rows) for rows in before] == [2, 2]
    for _ in range(2):
        for car in cars:
            assert {ack.status for ack in car.sync(reports=reports[car.id]).acks} == {"duplicate"}
        Attempt.objects.filter(unit=unit).update(cancel_sent_at=None)
        verification.verify()
    assert [list(model.objects.order_by("pk").values()) for model in (MeterRecord, UsageRecord)] == before
    assert MeterConflict.objects.count() == 0
    with refused("23505"):  # even by raw SQL: one record for each number, one usage record for each attempt
        execute(
            "INSERT INTO compute_meterrecord (node_id, seq, prev_hash, hash, record, signature, outcome, compute_ms,"
            " energy_mwh, energy_method, output_sha256) SELECT node_id, seq, prev_hash, hash, record, signature,"
            " outcome, compute_ms, energy_mwh, energy_method, output_sha256 FROM compute_meterrecord"
        )


def test_looking_for_conflicts_costs_nothing_without_one(car, attempt):
    report = car.report(attempt)
    with CaptureQueriesContext(connection) as seen, mock.patch.object(meter_conflicts, "execute_batch") as asked:
        tell(car, report)
    assert asked.call_count == 0
    assert not any("meterconflict" in query["sql"] for query in seen)


MS = {"day": 86_400_000, "minute": 60_000}


@pytest.mark.parametrize(
    ("began", "lasted", "code"),
    [
        (-34 * MS["day"], 10, ""),
        (-36 * MS["day"], 10, "record_dated"),
        (4 * MS["minute"], 10, ""),
        (6 * MS["minute"], 10, "record_dated"),
        (0, -1, "record_dated"),
        (-(10**18), 10, "record_dated"),
    ],
)
def test_a_record_dated_out_of_reason_is_kept_and_not_paid(car, attempt, began, lasted, code):
    start = int(timezone.now().timestamp() * 1000) + began
    report = car.report(attempt, started_unix_ms=start, ended_unix_ms=start + lasted)
    assert tell(car, report) == [("refused" if code else "accepted", code)]
    assert state(attempt) == (("failed", code) if code else ("reported", ""))
    assert MeterRecord.objects.count() == 1


def test_no_processor_works_longer_than_its_cores_did_since_the_lease(car, attempt, settings):
    settings.METER_CLOCK_SLACK_MS = 0
    honest = car.report(attempt, advance=False, compute_ms=0)
    claim = 1000 * 60 * 60  # one hour, although the lease is only seconds old
    assert tell(car, car.report(attempt, compute_ms=claim)) == [("refused", "record_impossible")]
    assert state(attempt) == ("failed", "record_impossible")
    assert MeterRecord.objects.get().compute_ms == claim
    assert tell(car, honest) == [("refused", "meter_conflict")]


@pytest.mark.parametrize("field", ["model", "input", "items"])
def test_a_record_of_other_work_fails_the_attempt(car, attempt, field):
    other = 3 if field == "items" else "e" * 64
    assert tell(car, car.report(attempt, **{field: other})) == [("refused", "record_mismatch")]
    assert state(attempt) == ("failed", "record_mismatch")
    assert MeterRecord.objects.count() == 1


def saved(shape: tuple[int, ...], dtype: Any = np.float32, name: str = "y") -> bytes:
    return safetensors.numpy.save({name: np.zeros(shape, dtype)})


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (saved((3, 2)), "result_shape"),
        (saved((4, 3)), "result_shape"),
        (saved((4, 2), np.float64), "result_shape"),
        (saved((4, 2), name="z"), "result_shape"),
        (b"not safetensors", "result_unreadable"),
        (b"\xff" * 100, "result_unreadable"),
        (saved((600, 2)), "result_too_large"),
    ],
    ids=lambda r: repr(r)[:20],
)
def test_a_result_that_is_no_answer_fails_the_attempt(car, attempt, result, code):
    assert tell(car, car.report(attempt, result=result)) == [("refused", code)]
    assert state(attempt) == ("failed", code)
    assert attempt.ended_at is not None


def test_a_result_other_than_the_signed_one_fails_the_attempt(car, attempt):
    report = changed(car.report(attempt), result=factories.result_of(attempt.unit, value=2))
    assert tell(car, report) == [("refused", "result_mismatch")]


def test_a_result_that_was_never_uploaded_is_missing(car, attempt):
    assert tell(car, changed(car.report(attempt), result=b"")) == [("refused", "result_missing")]
    assert state(attempt) == ("failed", "result_missing")


def test_an_uploaded_result_is_named_by_its_digest(car, attempt):
    data = factories.result_of(attempt.unit)
    blob = blobs.put_bytes(data)
    for _ in range(2):
        results.attach(node=car.node, attempt_id=attempt.pk, fence=attempt.fence, blob=blob)
    assert tell(car, changed(car.report(attempt, result=data), result=b"")) == [("accepted", "")]
    assert state(attempt)[0] == "reported"
    assert (attempt.result, attempt.result_sha256) == (None, blob.sha256)


def test_another_upload_than_the_signed_one_is_missing(car, attempt):
    uploaded = blobs.put_bytes(factories.result_of(attempt.unit, value=5))
    results.attach(node=car.node, attempt_id=attempt.pk, fence=attempt.fence, blob=uploaded)
    assert tell(car, changed(car.report(attempt), result=b"")) == [("refused", "result_missing")]


def test_uploads_need_the_lease_and_the_shape(car, attempt):
    good, bad = blobs.put_bytes(factories.result_of(attempt.unit)), blobs.put_bytes(saved((1, 2)))
    with pytest.raises(InvalidInput, match="shape"):
        results.attach(node=car.node, attempt_id=attempt.pk, fence=attempt.fence, blob=bad)
    with pytest.raises(Conflict) as caught:
        results.attach(node=car.node, attempt_id=attempt.pk, fence=attempt.fence + 1, blob=good)
    assert caught.value.code == "stale_fence"
    (other,) = present()
    with pytest.raises(NotFound):
        results.attach(node=other.node, attempt_id=attempt.pk, fence=attempt.fence, blob=good)
    factories.decide(car.node.vehicle, "withdrawn")
    with pytest.raises(Conflict):
        results.attach(node=car.node, attempt_id=attempt.pk, fence=attempt.fence, blob=good)


@pytest.mark.parametrize(("outcome", "status"), [("error", "failed"), ("cancelled", "cancelled")])
@pytest.mark.parametrize("code", ["out_of_memory", "", "c" * 200])
def test_what_did_not_work_is_accepted_as_that(car, attempt, outcome, status, code):
    assert tell(car, car.report(attempt, outcome=outcome, code=code)) == [("accepted", state(attempt)[1])]
    default = "error" if outcome == "error" else "cancelled_by_node"
    assert state(attempt) == (status, code[:64] or default)
    attempt.unit.refresh_from_db()
    assert attempt.unit.copies_live == 0
    assert MeterRecord.objects.get().outcome == outcome


def test_an_attempt_run_twice_across_a_crash_is_paid_once(car, attempt):
    first, second = car.report(attempt), car.report(attempt, compute_ms=20)
    tell(car, first)
    assert tell(car, second) == [("refused", "stale_fence")]
    assert MeterRecord.objects.filter(attempt=attempt).count() == 2


def test_several_reports_of_one_node_chain_within_one_sync():
    (car,) = present(capacity=3)
    factories.make_job(items=12, unit_items=4)
    one_unit([car])
    held = leased(car)
    assert len(held) == 3
    good, failed, bad = car.report(held[0]), car.report(held[1], outcome="error", code="oom"), car.report(held[2])
    broken = changed(bad, signature=b"x" * 64)
    assert tell(car, good, failed, broken) == [("accepted", ""), ("accepted", "oom"), ("refused", "signature_invalid")]
    assert list(MeterRecord.objects.order_by("seq").values_list("seq", flat=True)) == [1, 2]
    assert tell(car, bad) == [("accepted", "")]


def test_a_cancelled_jobs_late_report_hears_why(car, attempt):
    jobs.cancel_job(job=attempt.job)
    assert tell(car, car.report(attempt)) == [("refused", "job_cancelled")]


def test_records_are_valid_json_with_sorted_keys(car, attempt):
    record = json.loads(car.report(attempt).record)
    assert list(record) == sorted(record)


# The sync around the reports


def request(car: Car, seq: int, **fields: Any) -> protocol.SyncRequest:
    return protocol.SyncRequest(**{"node": car.id, "seq": seq, "available": True, "capacity": 1, **fields})


def test_an_old_sync_is_a_replay_and_changes_nothing(car, attempt):
    report = car.report(attempt)
    for seq in (0, -1, car.seq - 1, car.seq):
        (answer,) = sync.handle([request(car, seq, reports=(report,), available=False)], carrier="https")
        assert answer.error in {"replayed", "malformed"}
        assert answer.acks == ()
    assert state(attempt)[0] == "leased"
    assert MeterRecord.objects.count() == 0


def test_two_syncs_of_one_number_in_one_batch_count_once(car, attempt):
    both = [request(car, car.seq + 1, reports=(car.report(attempt),)), request(car, car.seq + 2)]
    answers = sync.handle(both, carrier="nats")
    assert [answer.error for answer in answers] == ["", "replayed"]
    assert answers[0].acks[0].status == "accepted"


@pytest.mark.parametrize("node", ["", "nobody", "00000000-0000-0000-0000-000000000000", "' OR 1=1 --", "\0"])
def test_an_unknown_node_is_told_so(car, node):
    (answer,) = sync.handle([protocol.SyncRequest(node=node, seq=9, available=True)], carrier="https")
    assert (answer.error, answer.seq) == ("unknown_node", 9)


@pytest.mark.parametrize("version", [0, 2, -1])
def test_another_version_is_refused(car, version):
    (answer,) = sync.handle([request(car, 99, version=version)], carrier="https")
    assert (answer.error, answer.version) == ("unsupported_version", protocol.VERSION)
    assert execute("SELECT seq FROM compute_nodepresence WHERE node_id = %s", car.node.pk) == [(1,)]


@pytest.mark.parametrize(
    "garbage",
    [
        {"seq": 2**63},
        {"policy_version": 2**31},
        {"policy_version": -1},
        {"reason": "a\0b"},
        {"agent_version": "\0"},
        {"running": (protocol.Renewal(attempt=2**63, fence=1),)},
        {"running": (protocol.Renewal(attempt=1, fence=2**31),)},
        {"running": (protocol.Renewal(attempt=-1, fence=1),)},
        {"reports": (protocol.Report(attempt=2**64 - 1, fence=1, outcome="ok", record=b"", signature=b""),)},
        {"reports": (protocol.Report(attempt=1, fence=1, outcome="error", code="\0", record=b"", signature=b""),)},
        {"hardware": changed(factories.HARDWARE, cores=40_000)},
        {"hardware": changed(factories.HARDWARE, isa="\0")},
    ],
    ids=lambda g: str(g)[:40],
)
def test_garbage_of_one_node_does_not_touch_the_others_in_its_batch(car, attempt, garbage):
    (other,) = present()
    fields = {"seq": other.seq + 1, "capacity": 10**6, **garbage}
    batch = [
        protocol.SyncRequest(node=other.id, available=True, **fields),
        request(car, car.seq + 1, reports=(car.report(attempt),)),
    ]
    answers = sync.handle(batch, carrier="nats")
    assert answers[0].error == "malformed"
    assert answers[1].acks[0].status == "accepted"
    assert state(attempt)[0] == "reported"


@pytest.mark.parametrize(("capacity", "stored"), [(-5, 0), (0, 0), (7, 7), (10**9, 1000)])
def test_capacity_is_kept_within_reason(capacity, stored):
    car = factories.make_car()
    assert car.sync(capacity=capacity).error == ""
    assert execute("SELECT capacity FROM compute_nodepresence WHERE node_id = %s", car.node.pk) == [(stored,)]


@pytest.mark.parametrize("outcome", ["a\0b", "fine", "x" * 40, ""])
def test_an_outcome_that_there_is_not_is_refused_alone(car, attempt, outcome):
    """The record is signed and in its place, but its outcome is unknown: it must not reach the batch statement."""
    honest = factories.make_car()
    bad = car.report(attempt, outcome="ok", advance=False)
    payload = msgspec.structs.replace(protocol.unpack_meter(bad.record), outcome=outcome)
    record = protocol.meter_bytes(payload)
    forged = msgspec.structs.replace(bad, record=record, signature=car.key.sign(protocol.signed_bytes(record)))
    requests = [
        protocol.SyncRequest(node=car.id, seq=car.seq + 1, available=True, reports=(forged,)),
        protocol.SyncRequest(node=honest.id, seq=1, available=True),
    ]
    answers = sync.handle(requests, carrier="nats")
    assert [ack.code for ack in answers[0].acks] == ["record_invalid"]
    assert answers[1].error == ""
    assert MeterRecord.objects.count() == 0


def test_reports_out_of_order_in_one_sync_are_taken_in_the_chains_order(car):
    car.sync(capacity=5)
    trust([car])
    factories.make_job(items=2, unit_items=1)
    dispatch.dispatch()
    first, second = Attempt.objects.filter(node=car.node, status="leased").order_by("id")
    told = [car.report(first), car.report(second)]
    assert [ack.status for ack in car.sync(reports=tuple(reversed(told))).acks] == ["accepted", "accepted"]
