"""The running agent and the owner's rules: finishing, counted usage, reported health, and the status file."""

from itertools import count
from types import SimpleNamespace

import pytest

from compute.agent.state.errors import AgentError
from compute.agent.status import status_summary
from compute.protocol import Ack, Cancel, Health, Policy

FINISH = Policy(version=2, pause="finish")


@pytest.fixture(autouse=True)
def _quick_ticks(monkeypatch):
    monkeypatch.setattr("compute.agent.agent._TICK_S", 0.05)


def told(marketplace):
    return {report.attempt: (report.outcome, report.code) for report in marketplace.reports}


async def test_finish_lets_the_running_unit_end_and_takes_no_other(marketplace, state, running, models, until, paused):
    async with running(state) as status:
        async with paused():
            running_lease = marketplace.offer(models.double())
            await until(lambda: status().state == "running")
            queued = marketplace.offer(models.double())
            await until(lambda: status().queued == 1)
            marketplace.policy = FINISH
            await until(lambda: told(marketplace).get(queued.attempt) == ("cancelled", "finishing"))
            shown = status()
            assert (shown.state, shown.reason, shown.setting) == ("running", "finishing", "pause")
            assert "finishes what it has begun" in shown.sentence
            late = marketplace.offer(models.double())
            await until(lambda: told(marketplace).get(late.attempt) == ("cancelled", "finishing"))
            sync = marketplace.syncs[-1]
            assert (sync.available, sync.reason, sync.capacity) == (False, "finishing", 0)
            assert [renewal.attempt for renewal in sync.running] == [running_lease.attempt]
        await until(lambda: told(marketplace).get(running_lease.attempt) == ("ok", ""))
        await until(lambda: (status().state, status().reason, status().setting) == ("unavailable", "paused", "pause"))
        await until(lambda: marketplace.syncs[-1].reason == "paused")
        marketplace.policy = Policy(version=3)
        again = marketplace.offer(models.double())
        await until(lambda: told(marketplace).get(again.attempt) == ("ok", ""))


@pytest.mark.parametrize("stopper", ["cancel", "drive"])
async def test_what_finishes_is_still_stopped_at_once(marketplace, state, running, models, until, stopper):
    lease = marketplace.offer(models.loop())  # it never ends by itself
    async with running(state) as status:
        await until(lambda: status().state == "running")
        marketplace.policy = FINISH
        await until(lambda: status().reason == "finishing")
        assert told(marketplace) == {}
        if stopper == "cancel":
            marketplace.cancels.append(Cancel(attempt=lease.attempt, fence=lease.fence, code="consent_withdrawn"))
        else:
            (state / "sensors.json").write_text('{"parked": false}')
        await until(lambda: told(marketplace))
        await until(lambda: status().reason == ("paused" if stopper == "cancel" else "driving"))
    assert told(marketplace) == {
        lease.attempt: ("cancelled", "consent_withdrawn" if stopper == "cancel" else "driving")
    }


async def test_mobile_data_is_counted_and_the_cap_stops_work(marketplace, state, running, models, until, make_inputs):
    marketplace.policy = Policy(version=2, network="capped", data_cap_mb_per_month=1)
    (state / "sensors.json").write_text('{"network": "cellular"}')
    async with running(state) as status:
        await until(lambda: status().policy_version == 2)
        assert status().state == "idle"
        marketplace.offer(
            models.double(), make_inputs(70_000), items=70_000, batch=70_000
        )  # more than a megabyte in each direction
        await until(lambda: status().reason == "data_cap")
        shown = status()
        assert shown.setting == "data_cap_mb_per_month"
        assert shown.usage.mobile_cap_bytes == 1_000_000
        assert shown.usage.mobile_sent_bytes + shown.usage.mobile_received_bytes > 1_000_000
        (state / "sensors.json").write_text('{"network": "wifi"}')
        await until(lambda: status().state == "idle")
        counted = status().usage.mobile_received_bytes
        seen = len(marketplace.syncs)
        await until(lambda: len(marketplace.syncs) > seen + 3)
    assert status().usage.mobile_received_bytes == counted  # on Wi-Fi nothing is counted
    (state / "sensors.json").write_text('{"network": "cellular"}')
    async with running(state) as status:  # the counts survive a restart
        await until(lambda: status().reason == "data_cap")
        assert "Mobile data in" in status_summary(status(), is_running=True)


async def test_work_is_counted_by_the_day_and_its_share_stops_it(
    marketplace, state, running, models, until, monkeypatch
):
    lease = marketplace.offer(models.loop())
    monkeypatch.setattr("compute.agent.policy.rules.day_allowance_s", lambda policy, now: 0.5)
    looks = count()
    monkeypatch.setattr("compute.agent.policy.judge.time", SimpleNamespace(monotonic=lambda: next(looks) / 10))
    marketplace.policy = Policy(version=2, day_share_percent=50)
    async with running(state) as status:
        await until(lambda: status().reason == "day_share")
        await until(lambda: told(marketplace))
        assert 0.45 <= status().usage.work_ms / 1000 < 0.75
    assert told(marketplace) == {lease.attempt: ("cancelled", "day_share")}
    async with running(state) as status:
        await until(lambda: status().reason == "day_share")


async def test_health_is_told_only_while_it_is_shared_and_each_failure_once(marketplace, state, running, models, until):
    async with running(state) as status:
        marketplace.offer(b"garbage")
        await until(lambda: status().counters.error == 1 and not status().unacknowledged)
        await until(lambda: len(marketplace.syncs) > 3)
        assert all(sync.health is None for sync in marketplace.syncs)
        marketplace.share = ("reliability", "region")
        await until(lambda: marketplace.syncs[-1].health)
        assert marketplace.syncs[-1].health == Health(band="cool")  # earlier failures are not reported
        marketplace.ack = lambda report: Ack(attempt=report.attempt, fence=report.fence, status="accepted")
        marketplace.offer(b"more garbage")
        await until(lambda: status().counters.error == 2)
        marketplace.fail = lambda path: (503, {"Retry-After": "0"})
        await until(lambda: status().state == "offline")
        marketplace.offer(b"never delivered")
        before = len(marketplace.syncs)
        marketplace.fail = None
        await until(lambda: len(marketplace.syncs) > before + 4 and status().counters.error == 3)
        (state / "sensors.json").write_text('{"temperature_c": 42}')
        await until(lambda: marketplace.syncs[-1].health.band == "warm")
        (state / "sensors.json").write_text('{"temperature_c": 46}')
        await until(lambda: marketplace.syncs[-1].health.band == "hot")
        (state / "sensors.json").write_text("{")
        await until(lambda: marketplace.syncs[-1].health is None)  # without a reading there is no band
        (state / "sensors.json").unlink()
        await until(lambda: marketplace.syncs[-1].health)
        assert sum(sync.health.units_failed for sync in marketplace.syncs if sync.health) == 2
        marketplace.share = ()
        await until(lambda: marketplace.syncs[-1].health is None)


async def test_status_says_everything_in_words(marketplace, state, running, until):
    (state / "sensors.json").write_text('{"charge_percent": 40}')
    async with running(state) as status:
        await until(lambda: status().reason == "charge_low")
        words = status_summary(status(), is_running=True)
    for part in (
        "unavailable",
        "The battery is at 40 %, below the 50 % that you want to keep. [charge_low]",
        "your setting charge_stop_percent (version 1",
        "Sensors: simulated, last reading",
        "modelled: the class's power",
        "[model]",
        "Work on 20",
    ):
        assert part in words, part
    assert (status().state, status().reason) == ("stopped", "agent_stopped")


async def test_sensors_that_cannot_be_opened_stop_the_start(state, running):
    with pytest.raises(AgentError) as caught:
        async with running(state, sensors="teslamate:nowhere"):
            pass
    assert caught.value.code == "sensors_invalid"
