"""The complete agent with a marketplace over real HTTP: work, faults on both sides, and stopping."""

import hashlib
import time
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load

from compute import protocol, reasons
from compute.agent import agent
from compute.agent.commands.enrolment import enrol
from compute.agent.state.errors import AgentError
from compute.agent.state.hardware import describe
from compute.protocol import Ack, Cancel, Policy
from tests.waiting import NEVER_S


def records(marketplace):
    return [protocol.unpack_meter(report.record) for report in marketplace.reports]


async def test_a_unit_from_lease_to_ack(marketplace, state, running, models, make_inputs, until):
    data = make_inputs(3)
    lease = marketplace.offer(models.double(), data)
    async with running(state) as status:
        await until(lambda: marketplace.reports and not status().unacknowledged)
        await until(lambda: status().state == "idle")
    (report,), (record,) = marketplace.reports, records(marketplace)
    assert (report.attempt, report.fence, report.outcome) == (lease.attempt, lease.fence, "ok")
    np.testing.assert_array_equal(load(report.result)["y"], load(data)["x"] * 2)
    assert record.output == hashlib.sha256(report.result).hexdigest()
    assert (record.seq, record.prev, record.items) == (1, protocol.GENESIS_HASH, 3)
    assert record.compute_ms >= 0
    assert (record.compute_method, record.energy_method) == ("cpu_time", "model")
    assert (record.model, record.input) == (lease.model_sha256, lease.input_sha256)
    first, *others = marketplace.syncs
    assert first.hardware == describe("simulated")
    assert all(sync.hardware is None for sync in others)
    assert first.capacity == 2
    assert status().counters.ok == 1
    assert not list((state / "cache").glob(lease.input_sha256))
    assert (state / "cache" / lease.model_sha256).exists()


@pytest.mark.usefixtures("seldom")
async def test_many_units_are_told_soon_and_renewed_while_held(
    marketplace, state, running, models, make_inputs, until, monkeypatch
):
    """While the input of the seventh unit is fetched, six others are reported.

    Each sync that reports one of them also renews the lease of the seventh.
    """
    monkeypatch.setattr("compute.agent.work.work._TRANSFER_S", NEVER_S)
    for _ in range(6):
        marketplace.offer(models.double())
    late = marketplace.offer(models.double(), make_inputs(seed=1))
    marketplace.fail = lambda path: (503, {"Retry-After": "0"}) if late.input_sha256 in path else None
    async with running(state):
        await until(lambda: len(marketplace.reports) == 6)
        marketplace.fail = None
        await until(lambda: len(marketplace.reports) == 7)
    telling = [sync for sync in marketplace.syncs if {report.attempt for report in sync.reports} - {late.attempt}]
    assert telling
    assert all(late.attempt in {renewal.attempt for renewal in sync.running} for sync in telling)
    assert [record.seq for record in records(marketplace)] == list(range(1, 8))


async def test_a_large_result_is_uploaded_first(marketplace, state, running, models, make_inputs, until):
    lease = marketplace.offer(models.double(), make_inputs(1000), items=1000, batch=64)
    async with running(state):
        await until(lambda: marketplace.reports)
    (report,), (record,) = marketplace.reports, records(marketplace)
    assert report.result == b""
    assert hashlib.sha256(marketplace.results[lease.attempt]).hexdigest() == record.output


async def test_reports_are_sent_again_until_acknowledged(marketplace, state, running, models, until):
    answers = iter([None, None, "duplicate"])
    marketplace.ack = lambda report: (
        (status := next(answers)) and Ack(attempt=report.attempt, fence=report.fence, status=status)
    )
    marketplace.offer(models.double())
    async with running(state) as status:
        await until(lambda: len(marketplace.received) == 3)
        await until(lambda: not status().unacknowledged)
        seen = len(marketplace.syncs)
        await until(lambda: len(marketplace.syncs) > seen + 3)
    assert len(marketplace.received) == 3
    assert len(set(marketplace.received)) == 1


async def test_a_refused_report_is_not_sent_again(marketplace, state, running, models, until):
    marketplace.ack = lambda report: Ack(
        attempt=report.attempt, fence=report.fence, status="refused", code="stale_fence"
    )
    marketplace.offer(models.double())
    async with running(state) as status:
        await until(lambda: marketplace.reports and not status().unacknowledged)
        seen = len(marketplace.syncs)
        await until(lambda: len(marketplace.syncs) > seen + 3)
    assert len(marketplace.received) == 1


async def test_a_lease_said_twice_is_run_once(marketplace, state, running, models, until):
    lease = marketplace.offer(models.double())
    marketplace.leases.append(lease)
    async with running(state):
        await until(lambda: marketplace.reports)
        marketplace.leases.append(lease)
        seen = len(marketplace.syncs)
        await until(lambda: len(marketplace.syncs) > seen + 3)
    assert len(marketplace.reports) == 1


@pytest.mark.long
async def test_the_server_restarts_and_stumbles(marketplace, state, running, models, until):
    failures = iter([(503, {"Retry-After": "0"}), (500, {}), (502, {}), (429, {"Retry-After": "0"})])
    marketplace.fail = lambda path: next(failures, None)
    marketplace.offer(models.double())
    async with running(state) as status:
        await until(lambda: marketplace.reports and not status().unacknowledged)
        marketplace.garbage = b"\xc1 not msgpack"
        await until(lambda: status().state == "offline")
        assert status().reason == "malformed_answer"
        marketplace.garbage = b""
        await until(lambda: status().state == "idle")
    assert records(marketplace)[0].outcome == "ok"


@pytest.mark.long
async def test_a_unit_finished_while_the_server_is_down_is_reported_after(
    tmp_path, make_marketplace, running, models, until
):
    marketplace, state = make_marketplace(), tmp_path / "vehicle"
    async with marketplace.serve():
        await enrol(
            server=marketplace.url,
            code="code",
            state=state,
            sensors="simulated",
            hardware=describe("simulated"),
        )
    async with running(state) as status:
        await until(lambda: status().state == "offline")
        # Syncs after the one that brings the unit stay unanswered: a quick unit could be reported before the server
        # stops.
        marketplace.fail = lambda path: (503, {}) if marketplace.syncs and path.endswith("/sync") else None
        async with marketplace.serve():
            marketplace.offer(models.double())
            await until(lambda: status().counters.ok == 1)
        assert (status().unacknowledged, marketplace.reports) == (1, [])
        marketplace.fail = None
        async with marketplace.serve():
            await until(lambda: not status().unacknowledged)
    assert records(marketplace)[0].outcome == "ok"


async def test_errors_come_back_as_errors(marketplace, state, running, models, until):
    marketplace.offer(b"garbage")
    gone = marketplace.offer(models.double("gone"))
    del marketplace.blobs[gone.model_sha256]
    forged = marketplace.offer(models.double("forged"))
    marketplace.blobs[forged.model_sha256] = b"x" * forged.model_bytes
    longer = marketplace.offer(models.double("longer"))
    marketplace.blobs[longer.model_sha256] += b"more"
    async with running(state) as status:
        await until(lambda: len(marketplace.reports) == 4)
        assert status().counters.error == 4
    codes = {report.attempt: (report.outcome, report.code) for report in marketplace.reports}
    assert [codes[attempt] for attempt in sorted(codes)] == [
        ("error", "model_invalid"),
        ("error", "http_404"),
        ("error", "blob_corrupt"),
        ("error", "blob_size"),
    ]


async def test_absurd_leases_are_ignored(marketplace, state, running, models, until):
    marketplace.offer(models.double(), model_sha256="../../../../etc/passwd")
    marketplace.offer(models.double(), items=-1)
    good = marketplace.offer(models.double())
    async with running(state):
        await until(lambda: marketplace.reports)
    assert [report.attempt for report in marketplace.reports] == [good.attempt]


async def test_a_cancel_from_the_server_stops_the_unit(marketplace, state, running, models, until):
    lease = marketplace.offer(models.loop())
    async with running(state) as status:
        await until(lambda: status().state == "running")
        assert status().running.attempt == lease.attempt
        queued = marketplace.offer(models.double())
        await until(lambda: status().queued == 1)
        marketplace.cancels = [
            Cancel(attempt=held.attempt, fence=held.fence, code="consent_withdrawn") for held in (lease, queued)
        ]
        await until(lambda: status().state == "idle" and marketplace.reports)
    (report,) = marketplace.reports  # a unit that never started leaves no record
    assert (report.attempt, report.outcome, report.code) == (lease.attempt, "cancelled", "consent_withdrawn")
    assert records(marketplace)[0].output == ""


async def test_the_car_drives_off(marketplace, state, running, models, until, monkeypatch):
    monkeypatch.setattr("compute.agent.agent._TICK_S", 0.2)
    running_lease = marketplace.offer(models.loop())
    async with running(state) as status:
        await until(lambda: status().state == "running")
        queued = marketplace.offer(models.double())
        await until(lambda: status().queued == 1)
        (state / "sensors.json").write_text('{"parked": false}')
        await until(lambda: status().state == "unavailable")
        assert (status().reason, status().running) == ("driving", None)
        await until(lambda: len(marketplace.reports) == 2)
        await until(lambda: not marketplace.syncs[-1].available)
        stopped_at = status().last_compute_unix_ms
        assert marketplace.syncs[-1].reason == "driving"
        assert marketplace.syncs[-1].capacity == 0
        (state / "sensors.json").unlink()
        await until(lambda: status().state == "idle")
        assert status().last_compute_unix_ms == stopped_at
    outcomes = {report.attempt: (report.outcome, report.code) for report in marketplace.reports}
    assert outcomes == {lease.attempt: ("cancelled", "driving") for lease in (running_lease, queued)}


async def test_a_new_policy_rules_at_once(marketplace, state, running, until):
    async with running(state) as status:
        await until(lambda: status().state == "idle")
        marketplace.policy = Policy(version=2, charge_stop_percent=90)
        await until(lambda: status().state == "unavailable")
        assert "90 %" in status().sentence
        await until(lambda: marketplace.syncs[-1].policy_version == 2)
    async with running(state) as status:  # it is remembered after a restart
        await until(lambda: status().reason == "charge_low")


async def test_withheld_is_shown_and_lifted(marketplace, state, running, until):
    marketplace.withheld = "consent_refused"
    async with running(state) as status:
        await until(lambda: status().state == "withheld")
        assert (status().reason, status().carrier) == ("consent_refused", "https")
        assert status().sentence == reasons.sentence("consent_refused")
        marketplace.withheld = ""
        await until(lambda: status().state == "idle")


@pytest.mark.long
async def test_after_a_suspension_it_goes_on_behind_the_record_that_the_server_has(
    marketplace, state, running, models, until
):
    """Its records 2 and 3 were refused, so number 1 is the newest one that agent and server share."""
    refused = {2: "meter_conflict", 3: "meter_gap"}

    def judge(report):
        code = refused.get(protocol.unpack_meter(report.record).seq, "") if len(marketplace.reports) < 4 else ""
        return Ack(attempt=report.attempt, fence=report.fence, status="refused" if code else "accepted", code=code)

    marketplace.ack = judge
    for count in (1, 2, 3):
        marketplace.offer(models.double())
        async with running(state):
            await until(lambda count=count: len(marketplace.reports) == count)
    first = marketplace.reports[0]
    marketplace.withheld, marketplace.chain = (
        "node_resuming",
        protocol.Chain(record=first.record, signature=first.signature),
    )
    async with running(state) as status:
        await until(lambda: marketplace.syncs[-1].chain == protocol.meter_hash(first.record))
        assert status().reason == "node_resuming"
        marketplace.withheld, marketplace.chain = "", None
        await until(lambda: marketplace.syncs[-1].chain == "")
        marketplace.offer(models.double())
        await until(lambda: len(marketplace.reports) == 4)
    payload = protocol.unpack_meter(marketplace.reports[3].record)
    assert (payload.seq, payload.prev) == (2, protocol.meter_hash(first.record))


async def test_a_lease_that_runs_out_is_dropped_in_silence(marketplace, state, running, models, until, monkeypatch):
    ahead_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_s[0])
    monkeypatch.setattr("compute.agent.agent.time", clock)
    monkeypatch.setattr("compute.agent.agent._TICK_S", 0.1)
    marketplace.offer(models.loop())
    async with running(state) as status:
        await until(lambda: status().state == "running")
        marketplace.fail = lambda path: (503, {})
        ahead_s[0] = 1.5 * marketplace.lease_ms / 1000
        await until(lambda: status().state == "offline")
        marketplace.fail = None
        await until(lambda: status().state == "idle")
    assert marketplace.reports == []


@pytest.mark.usefixtures("seldom")
async def test_stopping_gives_the_leases_back(marketplace, state, running, models, until):
    """They are given back at once, although neither the unit nor the next sync would end for hours."""
    marketplace.offer(models.loop())
    async with running(state) as status:
        await until(lambda: status().state == "running")
    assert status().state == "stopped"
    assert marketplace.syncs[-1].reason == "agent_stopped"
    (report,) = marketplace.reports
    assert (report.outcome, report.code) == ("cancelled", "agent_stopped")
    assert not marketplace.syncs[-1].available


@pytest.mark.long
@pytest.mark.parametrize("answer", ["busy", "silent"])
async def test_stopping_without_a_server_takes_two_seconds_at_most(
    marketplace, state, running, models, until, skip_time, answer
):
    """The agent ignores the waiting time that a busy server asks for, and waits 2 s at most for a silent one."""
    asked = []
    marketplace.offer(models.loop())
    async with running(state) as status:
        await until(lambda: status().state == "running")
        if answer == "busy":
            marketplace.fail = lambda path: asked.append(path) or (503, {"Retry-After": "3600"})
        else:
            marketplace.silence = lambda path: asked.append(path) or skip_time(agent._FAREWELL_S / 2)
    assert status().state == "stopped"
    assert asked[-1] == "/api/node/v1/sync"
    marketplace.fail = marketplace.silence = None
    async with running(state):  # undelivered reports are sent after the next start
        await until(lambda: marketplace.reports)
    assert marketplace.reports[0].code == "agent_stopped"


async def test_one_agent_per_folder(marketplace, state, running, until):
    async with running(state) as status:
        await until(lambda: status().state == "idle")
        with pytest.raises(AgentError) as caught:
            async with running(state):
                pass
        assert caught.value.code == "already_running"


async def test_enrolling_twice_is_refused_and_the_key_is_private(marketplace, state):
    with pytest.raises(AgentError) as caught:
        await enrol(
            server=marketplace.url,
            code="code",
            state=state,
            sensors="simulated",
            hardware=describe("simulated"),
        )
    assert caught.value.code == "already_enrolled"
    assert (state / "node.key").stat().st_mode & 0o777 == 0o600
    assert (state / "enrolment.json").stat().st_mode & 0o777 == 0o600


async def test_a_response_of_another_version_is_not_obeyed(marketplace, state, running, models, until):
    marketplace.offer(models.double())
    lease = msgspec.structs.replace(marketplace.leases[0])
    answer = protocol.SyncResponse(seq=1, leases=(lease,), version=2)
    marketplace.garbage = protocol.pack(answer)
    async with running(state) as status:
        await until(lambda: status().reason == "unsupported_version")
        marketplace.garbage, marketplace.leases = b"", []
        await until(lambda: status().state == "idle")
    assert marketplace.reports == []
