"""The durable store: what a crash must not lose, and what must not be repeated."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute import protocol
from compute.agent.state.identity import Identity
from compute.agent.state.store import Store
from compute.agent.work.chain import ChainEnd
from compute.agent.work.meter import EndedLease, Recorder
from compute.protocol import Chain, Lease, Policy

LIMIT = 1 << 20


@pytest.fixture
def identity():
    return Identity(Ed25519PrivateKey.generate())


def lease(attempt):
    return Lease(
        attempt=attempt,
        fence=1,
        expires_in_ms=15000,
        items=3,
        batch=3,
        model_sha256="a" * 64,
        model_bytes=1,
        input_sha256="b" * 64,
        input_bytes=1,
        outputs=("y",),
        memory_bytes=1,
        time_limit_ms=1,
        grant="",
    )


def record(store, identity, attempt, **fields):
    recorder = Recorder(node="n", identity=identity, store=store, layers=("rlimits",))
    return recorder.record(lease(attempt), EndedLease(**({"outcome": "ok", "result": b"r"} | fields)))


def test_sync_numbers_rise_strictly_across_crashes(tmp_path):
    seen = []
    for _ in range(3):
        store = Store(tmp_path)  # never closed: as after kill -9
        seen += [store.next_sync_seq() for _ in range(100)]
    assert seen == sorted(set(seen))
    assert Store(tmp_path).next_sync_seq(above=10**9) == 10**9 + 1


def test_records_chain_over_a_crash_and_are_signed(tmp_path, identity):
    for attempt in range(1, 5):
        record(Store(tmp_path), identity, attempt)
    reports = Store(tmp_path).unacknowledged(max_bytes=LIMIT)
    prev = protocol.GENESIS_HASH
    for seq, report in enumerate(reports, start=1):
        payload = protocol.unpack_meter(report.record)
        assert (payload.seq, payload.prev, payload.attempt) == (seq, prev, seq)
        assert protocol.meter_bytes(payload) == report.record
        identity.key.public_key().verify(report.signature, protocol.signed_bytes(report.record))
        prev = protocol.meter_hash(report.record)


def test_reports_stay_until_acknowledged(tmp_path, identity):
    store = Store(tmp_path)
    first, second = record(store, identity, 1), record(store, identity, 2)
    assert Store(tmp_path).unacknowledged(max_bytes=LIMIT) == (first, second)
    assert store.acknowledge(1, 1)
    assert not store.acknowledge(1, 1)
    reopened = Store(tmp_path)
    assert reopened.unacknowledged(max_bytes=LIMIT) == (second,)
    assert reopened.unacknowledged_count() == 1
    assert reopened.has_report(2, 1)
    assert not reopened.has_report(1, 1)


def test_a_message_takes_the_oldest_reports_that_fit_and_at_least_one(tmp_path, identity):
    store = Store(tmp_path)
    reports = [record(store, identity, attempt, result=b"x" * 4000) for attempt in range(1, 31)]
    assert store.unacknowledged(max_bytes=1) == (reports[0],)
    taken = store.unacknowledged(max_bytes=49152)
    assert taken == tuple(reports[: len(taken)])
    assert 36000 < sum(len(report.result) for report in taken) < 49152


def test_a_failed_record_leaves_nothing_behind(tmp_path, identity):
    store = Store(tmp_path)
    record(store, identity, 1)
    with pytest.raises(Exception, match="UNIQUE"):
        record(store, identity, 1)
    assert (store.totals().ok, store.unacknowledged_count()) == (1, 1)
    payload = protocol.unpack_meter(record(store, identity, 2).record)
    assert payload.seq == 2


def test_totals_and_carried_energy_survive(tmp_path, identity):
    for attempt in range(1, 11):  # ten units of 0.3 mWh: rounded one by one their sum would be 0
        record(Store(tmp_path), identity, attempt, cpu_us=36_000, energy_uwh=300)
    store = Store(tmp_path)
    record(store, identity, 11, outcome="cancelled", result=b"")
    record(store, identity, 12, outcome="error", code="run_failed", result=b"")
    totals = store.totals()
    assert (totals.ok, totals.cancelled, totals.error) == (10, 1, 1)
    assert (totals.compute_ms, totals.energy_mwh) == (360, 3)


def test_a_large_result_is_named_but_not_kept_in_the_report(tmp_path, identity):
    store = Store(tmp_path)
    small = record(store, identity, 1, result=b"s" * protocol.INLINE_RESULT_MAX_BYTES)
    large = record(store, identity, 2, result=b"l" * (protocol.INLINE_RESULT_MAX_BYTES + 1))
    failed = record(store, identity, 3, outcome="error", result=b"ignored")
    assert len(small.result) == protocol.INLINE_RESULT_MAX_BYTES
    assert (large.result, failed.result) == (b"", b"")
    assert protocol.unpack_meter(large.record).output != ""
    assert protocol.unpack_meter(failed.record).output == ""


def test_the_policy_is_kept(tmp_path):
    store = Store(tmp_path)
    assert store.policy() is None
    policy = Policy(version=3, windows=((0, 1, 2),))
    store.set_policy(policy)
    assert Store(tmp_path).policy() == policy


def end_of(store, identity):
    return ChainEnd(node="n", public_key=identity.key.public_key(), store=store)


def named(report):
    return Chain(record=report.record, signature=report.signature)


def test_a_chain_goes_on_only_behind_a_record_of_its_own_that_was_not_yet_confirmed(tmp_path, identity):
    store, stranger = Store(tmp_path), Identity(Ed25519PrivateKey.generate())
    reports = [record(store, identity, attempt) for attempt in (1, 2, 3)]
    foreign = record(Store(make(tmp_path / "other")), stranger, 1)
    end = end_of(store, identity)
    assert not end.process(named(reports[1]))  # reports wait that may be newer than this record
    for attempt, is_kept in ((1, True), (2, True), (3, False)):
        store.acknowledge(attempt, 1, is_kept=is_kept)
    forged = Chain(record=reports[1].record, signature=reports[0].signature)
    for wrong in (named(foreign), named(reports[0]), forged, Chain(record=b"{}", signature=b"")):
        assert not end.process(wrong)  # of another car, older than the confirmed one, not signed, not a record
        assert end.agreed == ""
    assert end.process(named(reports[1]))
    assert not end.process(named(reports[1]))  # was sent already
    assert end.agreed == protocol.meter_hash(reports[1].record)
    end = end_of(Store(tmp_path), identity)  # after a crash
    assert end.process(named(reports[1]))
    assert not end.process(None)
    again = protocol.unpack_meter(record(Store(tmp_path), identity, 4).record)
    assert (again.seq, again.prev) == (3, protocol.meter_hash(reports[1].record))


def make(folder):
    folder.mkdir()
    return folder
