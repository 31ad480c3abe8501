"""`driveway-agent withdraw`: one request, whether the agent runs or not, and a clear message."""

import asyncio

import msgspec
import pytest

from compute import protocol
from compute.agent.commands import cli
from compute.agent.commands.withdrawal import withdraw, withdrawal_summary
from compute.agent.state.errors import RefusedError, UnreachableError

DONE = protocol.Withdrawn(record="7b0e", state="withdrawn")


@pytest.fixture
def asked(monkeypatch, marketplace):
    """Record which withdrawals the marketplace is asked for. It answers `DONE`."""
    found, handle = [], type(marketplace)._handle

    def answer(self, method, path, headers, body):
        if path != "/api/node/v1/withdrawals":
            return handle(self, method, path, headers, body)
        assert self.nonces is not None
        assert headers["signature-input"].startswith("node=")
        found.append(msgspec.msgpack.decode(body, type=protocol.Withdrawal).purpose)
        return 200, {}, protocol.pack(DONE)

    monkeypatch.setattr(type(marketplace), "_handle", answer)
    return found


def run(*arguments):
    return asyncio.to_thread(cli.main, [str(argument) for argument in arguments])


async def test_it_asks_once_and_says_what_happened(state, asked, capsys):
    assert await run("withdraw", "--state", state) == 0
    said = capsys.readouterr().out
    assert asked == ["run_jobs"]
    assert "Withdrawn: run_jobs." in said
    assert "Receipt 7b0e" in said


async def test_it_works_beside_a_running_agent(state, asked, running, until):
    async with running(state) as status:
        await until(lambda: status().node)
        assert await withdraw(state=state, purpose="availability") == DONE
    assert asked == ["availability"]


async def test_without_a_server_nothing_is_withdrawn_and_that_is_said(state, capsys):
    assert await run("withdraw", "--state", state, "--server", "http://127.0.0.1:9") == 1
    assert "Nothing was withdrawn, try again" in capsys.readouterr().err
    with pytest.raises(UnreachableError):
        await withdraw(state=state, purpose="run_jobs", server="http://127.0.0.1:9")


async def test_a_refusal_is_passed_on(state, marketplace, capsys):
    marketplace.fail = lambda path: (400, {}) if "withdrawals" in path else None
    with pytest.raises(RefusedError):
        await withdraw(state=state, purpose="sell_my_data")
    assert await run("withdraw", "--state", state, "--purpose", "sell_my_data") == 1
    assert "busy" in capsys.readouterr().err


async def test_a_car_that_is_not_enrolled(tmp_path, capsys):
    assert await run("withdraw", "--state", tmp_path) == 1
    assert "not_enrolled" in capsys.readouterr().err


def test_words_for_nothing_to_withdraw():
    said = withdrawal_summary("run_jobs", protocol.Withdrawn(record="", state="refused"))
    assert said == "There was no consent to withdraw for run_jobs: refused. Nothing runs without one."
    assert "stopped" not in withdrawal_summary("region", DONE)
