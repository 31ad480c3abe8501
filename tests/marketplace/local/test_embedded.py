"""The local servers from wheels: shared, restarted, cleaned up after crashes. Real servers, own homes."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import environ
import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from marketplace.local import embedded
from marketplace.local.embedded.nats import Nats
from marketplace.local.embedded.postgres import Postgres
from marketplace.local.embedded.process import EmbeddedError, Identity, log_tail, port_is_free, spawn, wait_ready
from marketplace.local.embedded.redis import Redis
from marketplace.local.embedded.secrets import development_secrets
from tests.waiting import PATIENCE_S, until

VARIABLES = (
    "DATABASE_URL",
    "REDIS_URL",
    "NATS_URL",
    "NATS_TRUST_FILE",
    "DATABASE_OWNER_URL",
    "DRIVEWAY_NATS",
    "DRIVEWAY_PORT",
)

HOLDER = """
import os, sys
from marketplace.local import embedded
embedded.provide(*sys.argv[1:])
print(*(os.environ[embedded.SERVERS[name][0]] for name in sys.argv[1:]), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def module_home():
    # Not tmp_path: its long name would hide what a short path does.
    home = Path(tempfile.mkdtemp(prefix="dw-"))
    yield home
    for server in (Postgres(home), Redis(home), Nats(home)):
        server.stop()
    shutil.rmtree(home)


@pytest.fixture
def home(module_home, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DRIVEWAY_HOME", str(module_home))
    attached = {}
    monkeypatch.setattr(embedded, "_attached", attached)
    yield module_home
    embedded.leave_servers()


@contextlib.contextmanager
def holder(*names):
    """Another process that uses the servers until its input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=embedded.REPOSITORY,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.stdin.close()
            process.wait(PATIENCE_S)
        process.stdout.close()


def urls_of(process) -> list[str]:
    return process.stdout.readline().split()


def as_owner(url: str) -> str:
    """The role of the site owns no table and can make none."""
    return url.replace("driveway_app@", "postgres@")


def postmaster_started_at(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT pg_postmaster_start_time()").fetchone()[0]


def test_provide_starts_all_three_and_leaving_stops_them(home):
    lines = []
    embedded.provide("postgres", "redis", "nats", report=lines.append)
    assert [line.split(" ready in ")[0] for line in lines] == ["PostgreSQL 18", "Redis", "NATS"]
    servers = embedded.attached_servers()
    assert all(server.is_running() for server in servers.values())
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute(
            "SELECT current_database(), current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('max_connections'), current_setting('shared_buffers')"
        ).fetchone()
    assert row == ("driveway", "on", "on", "200", "256MB")
    embedded.provide("postgres", "redis", "nats", report=lines.append)
    assert len(lines) == 3
    embedded.leave_servers()
    assert not any(server.is_running() for server in servers.values())
    assert not set(VARIABLES[:5]) & set(os.environ)


def test_django_environ_reads_the_socket_from_the_url(home):
    embedded.provide("postgres")
    config = environ.Env.db_url_config(os.environ["DATABASE_URL"])
    assert config["NAME"] == "driveway"
    with psycopg.connect(dbname=config["NAME"], user=config["USER"], **config["OPTIONS"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_url_that_is_set_wins(home, monkeypatch, tmp_path):
    monkeypatch.setenv("DRIVEWAY_HOME", str(tmp_path / "unused"))
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/driveway")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("DRIVEWAY_NATS", "off")
    embedded.provide("postgres", "redis", "nats")
    assert os.environ["DATABASE_URL"] == "postgres://elsewhere/driveway"
    assert os.environ["NATS_URL"] == ""
    assert embedded.attached_servers() == {}
    assert not (tmp_path / "unused").exists()


def test_production_starts_nothing(home, monkeypatch):
    monkeypatch.setenv("DRIVEWAY_ENV", "production")
    embedded.provide_for_command(["migrate"])
    assert embedded.attached_servers() == {}


@pytest.mark.long
def test_two_processes_at_once_share_one_server(home):
    with holder("postgres", "redis") as first, holder("postgres", "redis") as second:
        first_urls, second_urls = urls_of(first), urls_of(second)
        assert first_urls == second_urls
        started_at = postmaster_started_at(first_urls[0])
        first.stdin.close()
        first.wait(PATIENCE_S)
        # The one that started it may be gone; the other still has it.
        assert postmaster_started_at(second_urls[0]) == started_at
        assert redis.from_url(second_urls[1]).ping()
    assert not Postgres(home).is_running()
    assert not Redis(home).is_running()


@pytest.mark.long
def test_servers_left_by_a_killed_process_are_replaced_and_keep_their_data(home):
    with holder("postgres", "redis", "nats") as process:
        database_url, redis_url, nats_url = urls_of(process)
        with psycopg.connect(as_owner(database_url)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT now())")
            connection.execute("INSERT INTO kept DEFAULT VALUES")
        redis.from_url(redis_url).set("kept", "yes")
        leftover = Postgres(home).identity()
        process.kill()
        process.wait()
    assert leftover.is_running()
    embedded.provide("postgres", "redis", "nats")
    assert not leftover.is_running()
    assert (os.environ["REDIS_URL"], os.environ["NATS_URL"]) == (redis_url, nats_url)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone()[0] >= 1
    assert redis.from_url(os.environ["REDIS_URL"]).get("kept") == b"yes"


@pytest.mark.long
def test_a_killed_server_comes_back_at_the_same_address(home):
    embedded.provide("postgres", "redis", "nats")
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS acknowledged (n int)")
        connection.execute("INSERT INTO acknowledged VALUES (1)")
    redis.from_url(os.environ["REDIS_URL"]).set("acknowledged", "1")
    for server in embedded.attached_servers().values():
        server.kill()
        assert not server.is_running()
        server.start()
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        assert connection.execute("SELECT n FROM acknowledged").fetchone() == (1,)
    assert redis.from_url(os.environ["REDIS_URL"]).get("acknowledged") == b"1"


def test_a_pid_file_with_somebody_elses_pid_does_not_stop_postgres(home):
    embedded.provide("postgres")
    server = embedded.attached_servers()["postgres"]
    pid_file = server.folder / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    # The same system user, or PostgreSQL itself would see that the pid is not its own.
    other = subprocess.Popen(["sleep", "3600"], user=server.user(), group=server.user())
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        server.start()
        assert other.poll() is None
        assert postmaster_started_at(os.environ["DATABASE_URL"])
    finally:
        other.kill()
        other.wait()


def test_redis_needs_its_password(home):
    embedded.provide("redis")
    port = embedded.attached_servers()["redis"].state()["port"]
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port, retry=Retry(NoBackoff(), 0)).ping()
    assert redis.from_url(os.environ["REDIS_URL"]).config_get("append*")["appendfsync"] == "always"


def test_a_long_home_gets_a_socket_elsewhere(tmp_path):
    server = Postgres(tmp_path / ("long" * 20))
    folder = server._socket_folder()
    try:
        assert folder.parent == Path(tempfile.gettempdir())
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.chmod(0o777)
        with pytest.raises(EmbeddedError, match="not ours alone"):
            server._socket_folder()
    finally:
        folder.rmdir()


def test_secrets_are_made_once_and_private(tmp_path, monkeypatch):
    first = development_secrets(tmp_path)
    assert development_secrets(tmp_path) == first
    assert len(bytes.fromhex(first["RECEIPT_SIGNING_KEY"])) == 32
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("DJANGO_SECRET_KEY", "mine")
    monkeypatch.delenv("RECEIPT_SIGNING_KEY", raising=False)
    embedded.provide_secrets(tmp_path)
    assert os.environ["DJANGO_SECRET_KEY"] == "mine"
    assert os.environ["RECEIPT_SIGNING_KEY"] == first["RECEIPT_SIGNING_KEY"]


def test_a_process_that_dies_early_shows_its_log(tmp_path):
    log_path = tmp_path / "it.log"
    process = spawn([sys.executable, "-c", "raise SystemExit('no such model')"], log_path=log_path)
    with pytest.raises(EmbeddedError, match=r"it exited with code 1 before it was ready(.|\n)*no such model"):
        wait_ready("it", process, lambda: False, log_path=log_path)
    with pytest.raises(EmbeddedError, match="cannot start"):
        spawn(["/no/such/program"], log_path=log_path)
    assert "(empty)" in log_tail(tmp_path / "none.log")


def test_a_pid_used_again_is_not_signalled():
    other = subprocess.Popen(["sleep", "3600"])
    try:
        identity = Identity.of(other.pid)
        assert identity.is_running()
        earlier = Identity(identity.pid, identity.created_at - 100)
        assert not earlier.is_running()
        assert earlier.stop(grace_s=0.1)
        assert other.poll() is None
        assert identity.stop(grace_s=PATIENCE_S)
        # A zombie does not run.
        assert not identity.is_running()
    finally:
        other.kill()
        other.wait()


LEADER_ENDS_FIRST = """
import ctypes, socket, sys, threading
listening = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=sys.stdin.read).start()
print(listening.getsockname()[1], flush=True)
SYS_exit = {"x86_64": 60, "aarch64": 93}[__import__("platform").machine()]
ctypes.CDLL(None).syscall(SYS_exit, 0)
"""


def test_a_process_runs_until_its_last_thread_has_let_go_of_its_port():
    """After SIGKILL the first thread may be a zombie before the others have ended: the port is not free yet."""
    other = subprocess.Popen(
        [sys.executable, "-c", LEADER_ENDS_FIRST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(other.stdout.readline())
        until(lambda: psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE, what="its first thread to end")
        identity = Identity.of(other.pid)
        assert identity is not None
        assert identity.is_running()
        assert not port_is_free(port)
        other.stdin.close()
        assert identity.wait(PATIENCE_S)
        assert port_is_free(port)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


@pytest.mark.long
def test_the_pytest_plugin_provides_before_django_reads_settings(home, tmp_path):
    (tmp_path / "early_settings.py").write_text(
        "import os\nDATABASE = os.environ['DATABASE_URL']\nSECRET_KEY = os.environ['DJANGO_SECRET_KEY']\n"
    )
    (tmp_path / "test_it.py").write_text(
        "from django.conf import settings\ndef test_it():\n    assert settings.DATABASE.startswith('postgres://')\n"
    )
    path = filter(None, [str(tmp_path), str(embedded.REPOSITORY), os.environ.get("PYTHONPATH")])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    environment.pop("PYTEST_XDIST_WORKER", None)
    options = [
        "-q",
        "-p",
        "marketplace.local.embedded.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "--ds=early_settings",
    ]
    command = [sys.executable, "-m", "pytest", *options, "-c", os.devnull, "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
