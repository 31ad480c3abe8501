"""Sources other than MQTT: the simulated car and its days, files, programs, and this computer's own network."""

import json
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.agent.policy import READY, evaluate
from compute.agent.sensors import open_sensors
from compute.agent.sensors.command import CommandSensors
from compute.agent.sensors.own_network import own_network
from compute.agent.sensors.simulated_day import SimulatedDay, plan_of, state_at
from compute.agent.state.errors import AgentError
from compute.protocol import Policy
from tests.waiting import NEVER_S, until

WHOLE = {"parked": True, "plugged_in": True, "charge_percent": 70, "network": "wifi", "temperature_c": 20}
NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


def verdict(state, now=None):
    return evaluate(Policy(version=1), state, now or datetime.now(UTC), READY)


def test_simulated_sensors_and_their_overrides(tmp_path):
    read = open_sensors("simulated", tmp_path)
    assert (read().parked, read().charge_percent, read().network) == (True, 80.0, "wifi")
    assert verdict(read()).available
    (tmp_path / "sensors.json").write_text('{"parked": false, "charge_percent": 12, "solar": null}')
    assert (read().parked, read().charge_percent, read().solar) == (False, 12.0, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"parked": "yes"}',
        '{"network": "lan"}',
        '{"charge_percent": true}',
        '{"at": "2026-11-18"}',
        '{"charge_percent": 1' + "0" * 400 + "}",
        '{"busy": 1}',
        "[" * 100_000,
        '{"at": "soon"}',
        "\xff",
    ],
)
def test_a_wrong_sensor_file_reads_as_stale_and_says_why(tmp_path, text):
    (tmp_path / "sensors.json").write_bytes(text.encode("latin-1"))
    for name in ("simulated", f"file:{tmp_path / 'sensors.json'}"):
        found = verdict(open_sensors(name, tmp_path)())
        assert found.code == "sensor_stale"
        assert "sensors.json cannot be read" in found.sentence


def test_a_sensor_file_must_be_complete(tmp_path):
    path = tmp_path / "car.json"
    read = open_sensors(f"file:{path}", tmp_path)
    assert "does not exist" in verdict(read()).sentence
    for missing in [*WHOLE, "at"]:
        path.write_text(json.dumps({k: v for k, v in (WHOLE | {"at": NOW.isoformat()}).items() if k != missing}))
        assert missing in verdict(read()).sentence
    extra = {"charging": True, "solar": True, "price_micro_per_kwh": 90_000, "busy": ""}
    path.write_text(json.dumps(WHOLE | extra | {"at": NOW.isoformat()}))
    assert verdict(read(), NOW).available
    assert (read().solar, read().price_micro_per_kwh) == (True, 90_000)
    path.write_text(json.dumps(WHOLE | {"at": NOW.isoformat(), "plugged_in": None}))
    assert verdict(read(), NOW).code == "sensor_missing"


@pytest.fixture
def program(tmp_path):
    """Return a function that opens sensors which run a Python program; they are closed at the end."""
    opened = []

    def one(code, **options):
        path = tmp_path / "car state.py"
        path.write_text(code)
        opened.append(CommandSensors(f'{sys.executable} -I "{path}" "$HOME; touch shell"', **options))
        return opened[-1]

    yield one
    for sensors in opened:
        sensors.close()


def test_a_program_is_asked_again_and_again_without_a_shell(program, tmp_path):
    code = (
        "import json, pathlib, sys\n"
        f"path = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "path.write_text(str(int(path.read_text()) + 1 if path.exists() else 1))\n"
        f"print(json.dumps({WHOLE!r} | {{'charge_percent': 70 + int(path.read_text()), 'busy': sys.argv[1]}}))\n"
    )
    before = datetime.now(UTC)
    sensors = program(code, every_s=0.01)
    until(lambda: (sensors().charge_percent or 0) >= 72)
    assert sensors().busy == "$HOME; touch shell"
    assert not Path("shell").exists()
    assert before <= sensors().at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('{}')", "missing fields: charge_percent"),
        ("print('hello')", "gives no reading"),
        ("raise SystemExit(3)", "ended with code 3"),
        ("while True: print('x' * 10_000)", "more than 65536 bytes"),
        ("import signal; signal.pause()", "more than 0.3 s"),
    ],
)
def test_a_program_that_fails_gives_no_reading_and_says_why(program, code, words):
    sensors = program(code, timeout_s=0.3 if "pause" in code else NEVER_S)
    until(lambda: words in sensors().note)
    assert verdict(sensors()).code == "sensor_stale"


class Timer:
    """A timer that expires when the test says so."""

    def __init__(self, seconds, run_out):
        Timer.latest = self
        self.run_out = run_out

    def start(self):
        pass

    def cancel(self):
        pass


def test_what_a_late_program_started_is_ended_with_it(program, tmp_path, monkeypatch):
    given = SimpleNamespace(Event=threading.Event, Thread=threading.Thread, Timer=Timer)
    monkeypatch.setattr("compute.agent.sensors.command.threading", given)
    note = tmp_path / "pid"
    code = (
        "import pathlib, signal, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
        "signal.pause()\n"
    )
    sensors = program(code, timeout_s=1.0)
    pid = int(until(lambda: note.exists() and note.read_text(), what="the program's own child"))
    Timer.latest.run_out()
    until(lambda: "more than 1 s" in sensors().note)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("odd", "sensors_unknown"),
        ("file:", "sensors_unknown"),
        ("simulated:night", "sensors_unknown"),
        ("simulated:day?seed=x", "sensors_invalid"),
        ("simulated:day?speed=61", "sensors_invalid"),
        ("simulated:day?zone=Mars/Olympus", "sensors_invalid"),
        ("simulated:day?weather=good", "sensors_invalid"),
        ("command:", "sensors_invalid"),
        ('command:"open', "sensors_invalid"),
    ],
)
def test_unknown_sources_are_refused(name, code, tmp_path):
    with pytest.raises(AgentError) as caught:
        open_sensors(name, tmp_path)
    assert caught.value.code == code


def test_a_program_that_does_not_exist_gives_no_reading(tmp_path):
    sensors = open_sensors("command:/nonexistent/program --option", tmp_path)
    until(lambda: "gives no reading" in sensors().note)
    assert sensors.source == "command:/nonexistent/program"
    sensors.close()


BERLIN = ZoneInfo("Europe/Berlin")


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60 * 24 * 400), st.integers(1, 60))
def test_a_simulated_day_makes_sense_at_every_minute(seed, minute, speed):
    local = datetime(2026, 3, 1, tzinfo=BERLIN) + timedelta(minutes=minute)
    found, again = state_at(seed, local), state_at(seed, local)
    assert found == again
    assert 0 <= found.charge_percent <= 80
    assert not (found.charging and not found.plugged_in)
    assert not (not found.parked and found.plugged_in)
    later = state_at(seed, local + timedelta(minutes=speed))
    assert abs(later.charge_percent - found.charge_percent) <= 0.25 * speed + 0.2
    assert later.price_micro_per_kwh in (120_000, 280_000, 420_000)


def test_simulated_days_have_everything_that_a_policy_asks_for():
    seen = [
        state_at(7, datetime(2026, 6, 1, tzinfo=BERLIN) + timedelta(minutes=5 * step)) for step in range(12 * 24 * 14)
    ]
    codes = {evaluate(Policy(version=1), each, each.at, READY).code for each in seen}
    assert codes >= {"", "driving", "car_busy", "not_plugged_in"}
    assert not codes & {"sensor_stale", "sensor_absurd", "sensor_missing"}
    assert any(each.solar for each in seen)
    assert any(each.charging and not each.solar for each in seen)
    assert any(each.temperature_c > 45 for each in seen)
    assert {each.network for each in seen} == {"wifi", "cellular"}
    days = [plan_of(7, datetime(2026, 6, 1).date() + timedelta(days=day)) for day in range(28)]  # noqa: DTZ001
    assert any(day.plugged_at is None for day in days)


def test_a_faster_day_is_stamped_with_the_real_time():
    times = iter([NOW, NOW + timedelta(seconds=30)])
    day = SimulatedDay(seed=1, where=UTC, speed=60, clock=lambda: next(times))
    found = day()
    assert found.at == NOW + timedelta(seconds=30)
    assert found == state_at(1, NOW + timedelta(minutes=30), at=found.at)


ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def route(name, *, metric=0, destination="00000000", flags="0003"):
    return f"{name}\t{destination}\t0101A8C0\t{flags}\t0\t0\t{metric}\t{destination}\t0\t0\t0\n"


@pytest.mark.parametrize(
    ("routes", "kind"),
    [
        (route("wlan0", metric=600), "wifi"),
        (route("eth0"), "ethernet"),
        (route("enp3s0", metric=100) + route("wwan0", metric=700), "ethernet"),
        (route("wwan0") + route("wlan0", metric=600), "cellular"),
        (route("usb0"), "cellular"),
        (route("eth0") + route("wwan0"), None),  # two default routes
        (route("tun0"), None),
        (route("ppp0"), "cellular"),
        ("", "none"),
        (route("eth0", flags="0002"), "none"),
        (route("eth0", destination="0001A8C0"), "none"),
        ("eth0\t00000000\t0\tzz\t0\t0\t0\t00000000\n", None),
    ],
)
def test_the_network_of_this_computer(tmp_path, routes, kind):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "route").write_text(ROUTES + routes)
    for name, number in (
        ("wlan0", 1),
        ("eth0", 1),
        ("enp3s0", 1),
        ("wwan0", 1),
        ("usb0", 1),
        ("tun0", 65534),
        ("ppp0", 512),
    ):
        folder = tmp_path / "class" / "net" / name
        os.makedirs(folder / "wireless" if name == "wlan0" else folder)
        (folder / "type").write_text(f"{number}\n")
    assert own_network(tmp_path, tmp_path) == kind


def test_without_routes_the_network_is_unknown(tmp_path):
    assert own_network(tmp_path, tmp_path) is None
