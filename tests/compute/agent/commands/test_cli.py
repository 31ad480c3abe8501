"""`driveway-agent` as a program: enrol, run, status, SIGTERM, and a power cut."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from compute import protocol
from compute.agent.commands import cli
from compute.agent.state.identity import create_identity
from compute.agent.state.store import Store
from compute.agent.status import read_status
from tests.waiting import NEVER_S, PATIENCE_S


@pytest.fixture(autouse=True)
def _umask_restored():
    """Restore the umask: the program changes it for its own process, which is the test process here."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
async def start():
    """Return a function that starts the program. Programs that a failed test leaves running are killed at the end."""
    started = []

    async def one(*arguments, **options):
        started.append(await _start(*arguments, **options))
        return started[-1]

    yield one
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


# The program with a long time limit for its shutdown, so that slow machines do not fail the test.
UNHURRIED = f"import sys; from compute.agent import agent; from compute.agent.commands import cli; agent._FAREWELL_S = {NEVER_S}; sys.exit(cli.main())"


async def _start(command, *arguments, **options):
    program = ("-c", UNHURRIED) if command == "run" else ("-m", "compute.agent")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        command,
        *map(str, arguments),
        cwd=Path(cli.__file__).parents[3],
        **options,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "COMMAND"),
        (["run"], 2, "--state"),
        (["run", "--state", "{tmp}", "--slots", "0"], 2, "at least 1"),
        (["run", "--state", "{tmp}"], 1, "not_enrolled"),
        (["status", "--state", "{tmp}"], 1, "never_ran"),
        (["sensors", "--state", "{tmp}"], 1, "not_enrolled"),
        (["sensors", "--sensors", "ovms:mqtt://host/EV"], 1, "sensors_invalid"),
        (
            ["enrol", "--state", "{tmp}", "--server", "http://x", "--code", "c", "--sensors", "odd"],
            1,
            "sensors_unknown",
        ),
    ],
)
def test_wrong_use_is_explained(arguments, code, words, tmp_path, capsys):
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    try:
        found = cli.main(arguments)
    except SystemExit as error:
        found = error.code
    assert found == code
    assert words in capsys.readouterr().err


def test_sensors_says_what_it_reads_and_what_follows(tmp_path, capsys):
    arguments = ["sensors", "--state", str(tmp_path), "--sensors", "simulated"]
    assert cli.main(arguments) == 0
    assert re.search(
        r"charge_percent +80.0\n.*solar +\(the car does not say\).*May work", capsys.readouterr().out, re.S
    )
    (tmp_path / "sensors.json").write_text('{"plugged_in": false}')
    assert cli.main(arguments) == 0  # the reading can be trusted, even if the rules forbid work
    out = capsys.readouterr().out
    assert "May not work: The car is not plugged in" in out
    assert "[not_plugged_in]" in out
    assert "setting plugged_in_only" in out
    (tmp_path / "sensors.json").write_text("{")
    assert cli.main([*arguments, "--json", "--wait", "0"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["reason"], found["available"], found["reading"]["parked"]) == ("sensor_stale", False, None)


async def test_sensors_takes_what_was_enrolled_and_the_rules_that_the_agent_had_last(state, capsys):
    with contextlib.closing(Store(state)) as store:
        store.set_policy(protocol.Policy(version=9, charge_stop_percent=90, charge_resume_percent=95))
    assert cli.main(["sensors", "--state", str(state)]) == 0
    out = capsys.readouterr().out
    assert "below the 90 %" in out
    assert "(version 9 of the rules)" in out


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_life(start, marketplace, tmp_path, models, until, capsys):
    state = tmp_path / "vehicle"
    arguments = ("enrol", "--server", marketplace.url, "--code", "code", "--state", state)
    enrolment = await start(*arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await enrolment.communicate()
    assert (enrolment.returncode, marketplace.node.encode() in out) == (0, True)

    marketplace.ack = lambda report: None  # the server gets the reports, but its answers are lost
    marketplace.offer(models.double())
    agent = await start("run", "--state", state, stderr=asyncio.subprocess.DEVNULL)
    await until(lambda: marketplace.reports)
    marketplace.offer(models.loop())
    await until(lambda: read_status(state).state == "running")
    await until(lambda: psutil.Process(agent.pid).children(recursive=True))
    children = psutil.Process(agent.pid).children(recursive=True)
    agent.kill()  # a power failure
    await agent.wait()
    await until(lambda: not any(map(is_alive, children)))
    assert cli.main(["status", "--state", str(state)]) == 3
    assert "not running" in capsys.readouterr().out

    before, marketplace.ack = marketplace.reports[0], None
    seen = len(marketplace.received)
    agent = await start("run", "--state", state, stderr=asyncio.subprocess.PIPE)
    await until(lambda: read_status(state).state == "idle" and not read_status(state).unacknowledged)
    assert before in marketplace.received[seen:]
    assert [report.attempt for report in marketplace.reports] == [before.attempt]  # no report of the interrupted unit
    assert cli.main(["status", "--state", str(state)]) == 0
    assert "1 done, 0 failed" in capsys.readouterr().out
    assert cli.main(["status", "--json", "--state", str(state)]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "idle"

    marketplace.offer(models.loop())
    await until(lambda: read_status(state).state == "running")
    os.kill(agent.pid, signal.SIGTERM)
    _, log = await asyncio.wait_for(agent.communicate(), PATIENCE_S)
    assert agent.returncode == 0, log.decode()
    assert "Traceback" not in log.decode()
    assert marketplace.reports[-1].code == "agent_stopped"
    chain = [protocol.unpack_meter(report.record) for report in marketplace.reports]
    assert [record.seq for record in chain] == [1, 2]
    assert chain[1].prev == protocol.meter_hash(marketplace.reports[0].record)


def test_the_key_that_verifies_what_the_car_signs_is_printed(tmp_path, capsys):
    assert cli.main(["key", "--state", str(tmp_path)]) == 1
    assert "not_enrolled" in capsys.readouterr().err
    identity = create_identity(tmp_path)
    assert cli.main(["key", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out == identity.public_key_hex + "\n"
