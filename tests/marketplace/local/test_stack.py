"""The stack as a whole, with small stand-ins for the site's own processes: up, down, killed, refused."""

import http.client
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from marketplace.local import embedded
from marketplace.local.embedded.nats import Nats
from marketplace.local.embedded.process import Identity
from tests.waiting import PATIENCE_S, until

DRIVER = """
import sys
from pathlib import Path
from marketplace.local import embedded
from marketplace.local.embedded import children, stack
from marketplace.local.__main__ import main

embedded.REPOSITORY = Path(sys.argv[1])
if (embedded.REPOSITORY / "pauses.py").exists():
    exec((embedded.REPOSITORY / "pauses.py").read_text())
table = (children.ChildSpec("web", ("web.py", "{port}")), children.ChildSpec("worker", ("worker.py",)))
for module in (children, stack):
    module.CHILDREN = table
    module.SPECS = {spec.name: spec for spec in table}
extra = [children.ChildSpec("extra", ("extra.py",)), children.ChildSpec("work", ("work.py",), speaks=True, once=True)]


def bring_up(running):
    for spec in extra:
        running.add(spec)

    def look():
        if extra and running.has_done("work"):
            extra.clear()
            print("done", flush=True)

    return look


sys.exit(main(bring_up))
"""
WEB = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def home(monkeypatch):
    for variable in ("NATS_URL", "NATS_TRUST_FILE", "DRIVEWAY_NATS", "DRIVEWAY_PORT", "DRIVEWAY_ENV"):
        monkeypatch.delenv(variable, raising=False)
    home = Path(tempfile.mkdtemp(prefix="dw-"))
    monkeypatch.setenv("DRIVEWAY_HOME", str(home))
    yield home
    Nats(home).stop()
    shutil.rmtree(home)


@pytest.fixture
def site(home, tmp_path, monkeypatch):
    """Starts a stack as a process of its own; whatever still runs at the end is stopped."""
    monkeypatch.setenv("DATABASE_URL", "postgres://unused/driveway")
    monkeypatch.setenv("REDIS_URL", "redis://unused")
    (tmp_path / "manage.py").write_text("print('migrated')")
    (tmp_path / "web.py").write_text(WEB)
    (tmp_path / "worker.py").write_text("import time\nprint('at work', flush=True)\ntime.sleep(3600)")
    (tmp_path / "extra.py").write_text("import time\ntime.sleep(3600)")
    (tmp_path / "work.py").write_text("print('prepared', flush=True)")
    running = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=embedded.REPOSITORY,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=5 * PATIENCE_S)


def url_of(process) -> str:
    for line in process.stdout:
        if "http://" in line:
            return line.split()[3]
    raise AssertionError(process.stderr.read())


def status(url: str) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    connection.request("GET", "/")
    return connection.getresponse().status


def line_with(lines, word: str) -> str:
    """Return the next line with this word."""
    return next(line for line in lines if word in line)


def answers(url: str) -> bool:
    try:
        return status(url) == 200
    except OSError:
        return False


def other_child(home: Path, name: str, first: Identity) -> Identity | None:
    """Return the child's process if it is another than before."""
    identity = child_identity(home, name)
    return identity if identity != first else None


def child_identity(home: Path, name: str) -> Identity:
    record = json.loads((home / "run" / f"{name}.pid.json").read_text())
    return Identity(record["pid"], record["created_at"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_stack_runs_and_stops_cleanly(site, home, number):
    process = site()
    url = url_of(process)
    assert status(url) == 200
    children = [child_identity(home, name) for name in ("web", "worker")]
    process.send_signal(number)
    _, errors = process.communicate(timeout=5 * PATIENCE_S)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "Everything stopped" in errors
    assert not any(child.is_running() for child in children)
    assert not Nats(home).is_running()


@pytest.mark.long
def test_a_second_stack_is_refused_and_a_killed_one_is_replaced(site, home):
    first = site()
    url = url_of(first)
    second = site()
    _, errors = second.communicate(timeout=5 * PATIENCE_S)
    assert second.returncode == 1
    assert f"process {first.pid}" in errors
    children = [child_identity(home, name) for name in ("web", "worker")]
    first.kill()
    first.wait()
    if sys.platform == "linux":
        assert all(child.wait(PATIENCE_S) for child in children)
    third = site()
    assert url_of(third) == url
    assert not any(child.is_running() for child in children)


@pytest.mark.long
@pytest.mark.parametrize("name", ["web", "worker", "extra"])
def test_a_child_that_is_killed_is_started_again_and_named(site, home, name):
    process = site()
    url = url_of(process)
    until(lambda: (home / "run" / f"{name}.pid.json").exists(), what=name)
    first = child_identity(home, name)
    first.send(signal.SIGKILL)
    assert f"{name} was ended by SIGKILL. It is started again now." in line_with(process.stderr, name)
    second = until(lambda: other_child(home, name, first), what=f"another {name}")
    assert second.is_running()
    until(lambda: answers(url), what="the web server")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5 * PATIENCE_S)
    assert process.returncode == 0
    assert not second.is_running()


@pytest.mark.long
def test_a_server_that_is_killed_is_started_again_at_its_address(site, home):
    process = site()
    url_of(process)
    server = Nats(home)
    first, port = server.identity(), server.state()["port"]
    server.kill()
    assert "nats was ended by SIGKILL. It is started again now." in line_with(process.stderr, "nats was")
    until(lambda: server.is_running() and server.is_ready(server.state()), what="another NATS")
    assert server.identity() != first
    assert server.state()["port"] == port


@pytest.mark.long
def test_a_child_that_keeps_ending_ends_the_stack_with_its_log(site, home, tmp_path):
    (tmp_path / "pauses.py").write_text(
        "from marketplace.local.embedded import supervisor\nsupervisor.PAUSES_S = (0.0, 0.01)\n"
    )
    process = site()
    url_of(process)
    until(lambda: "at work" in (home / "log" / "worker.log").read_text(), what="the worker")
    (tmp_path / "worker.py").write_text("raise SystemExit('no more work')")
    child_identity(home, "worker").send(signal.SIGKILL)
    _, errors = process.communicate(timeout=5 * PATIENCE_S)
    assert process.returncode == 1
    assert "worker exited with code 1. It has ended 3 times in a row and is not started again." in errors
    assert "no more work" in errors
    assert "Everything stopped" in errors
    assert not Nats(home).is_running()


@pytest.mark.long
def test_work_that_is_done_once_is_not_started_again(site, home):
    process = site()
    url_of(process)
    printed = [process.stdout.readline().strip() for _ in range(2)]
    assert sorted(printed) == ["done", "prepared"]
    assert not child_identity(home, "work").is_running()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=5 * PATIENCE_S)
    assert "work exited" not in errors


@pytest.mark.long
def test_addresses_stay_the_same_in_the_next_run(site, home):
    def run():
        process = site()
        url = url_of(process)
        ports = {path.stem: json.loads(path.read_text())["port"] for path in (home / "run").glob("nats.json")}
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=5 * PATIENCE_S)
        return url, ports

    first = run()
    assert first[1].keys() == {"nats"}
    assert run() == first


def test_failed_migrations_are_shown(site, tmp_path):
    (tmp_path / "manage.py").write_text("raise SystemExit('relation is in the way')")
    process = site()
    _, errors = process.communicate(timeout=5 * PATIENCE_S)
    assert process.returncode == 1
    assert "relation is in the way" in errors
