"""Local servers from wheels: PostgreSQL, Redis and NATS without root, docker or an installed service, and a fake Stripe.

`provide("postgres", "redis", "nats", "stripe")` makes sure that DATABASE_URL with DATABASE_OWNER_URL, REDIS_URL, NATS_URL with
NATS_TRUST_FILE, and STRIPE_SECRET_KEY with what belongs to it are in the environment. A variable that is set already wins and nothing is started for it,
which is how production runs. Everything lives under `home()`; deleting that folder, when nothing runs, starts
over.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal

import environ

from marketplace.local.embedded.process import EmbeddedError
from marketplace.local.embedded.secrets import provide_secrets
from marketplace.local.embedded.server import Server

__all__ = [
    "ALL",
    "REPOSITORY",
    "SERVERS",
    "EmbeddedError",
    "ServerName",
    "attached_servers",
    "become_owner",
    "home",
    "leave_servers",
    "provide",
    "provide_all",
    "provide_for_command",
    "provide_secrets",
    "read_dotenv",
]

ServerName = Literal["postgres", "redis", "nats", "stripe"]
REPOSITORY = Path(__file__).resolve().parents[3]
# name -> (variable that makes it unneeded, module, class). Imported on demand: production has no wheels.
SERVERS: dict[ServerName, tuple[str, str, str]] = {
    "postgres": ("DATABASE_URL", "marketplace.local.embedded.postgres", "Postgres"),
    "redis": ("REDIS_URL", "marketplace.local.embedded.redis", "Redis"),
    "nats": ("NATS_URL", "marketplace.local.embedded.nats", "Nats"),
    "stripe": ("STRIPE_SECRET_KEY", "marketplace.local.embedded.stripe", "Stripe"),
}
ALL: tuple[ServerName, ...] = tuple(SERVERS)
# What `manage.py` starts for a command: all servers, unless it is named here.
COMMAND_SERVERS: dict[str, tuple[ServerName, ...]] = {
    **dict.fromkeys(("help", "version", "--version", "check", "collectstatic", "diffsettings", "spectacular"), ()),
    "verify_receipt": (),  # needs no database
    **dict.fromkeys(("check_ledger", "createsuperuser", "dbshell", "makemigrations", "migrate"), ("postgres",)),
    **dict.fromkeys(("showmigrations", "sqlmigrate"), ("postgres",)),
}
# Commands that run as the owner of the tables. Everything else runs as the role that owns nothing.
OWNER_COMMANDS = ("migrate",)
_attached: dict[str, Server] = {}


def home() -> Path:
    """Return DRIVEWAY_HOME, or `.driveway` in the repository, as an absolute path."""
    return Path(os.environ.get("DRIVEWAY_HOME") or REPOSITORY / ".driveway").expanduser().absolute()


def provide(*names: ServerName, report: Callable[[str], None] | None = None) -> None:
    """Start or join the named servers whose URL is not in os.environ, and put it there.

    They run until the last process that called this has ended. With DRIVEWAY_NATS=off there is no NATS and
    NATS_URL is empty. `report` gets a line for each server with the seconds it took. Raises EmbeddedError.
    """
    for name in names:
        if SERVERS[name][0] in os.environ:
            continue
        if name == "nats" and os.environ.get("DRIVEWAY_NATS", "").lower() == "off":
            os.environ["NATS_URL"] = ""
            continue
        started_at = time.monotonic()
        server = _server(name)
        os.environ.update(server.attach())
        _attached[name] = server
        # Forked children inherit this registration; only the process that attached may leave.
        atexit.register(_leave, name, os.getpid())
        if report:
            report(f"{server.title} ready in {time.monotonic() - started_at:.1f} s")


def provide_all(*names: ServerName, report: Callable[[str], None] | None = None) -> None:
    """Provide what the site needs before it reads its settings: `.env`, development secrets, and the named servers.

    Does nothing when DRIVEWAY_ENV is "production": the settings then say which variable is missing.
    """
    read_dotenv()
    if os.environ.get("DRIVEWAY_ENV") == "production":
        return
    provide_secrets(home())
    provide(*names, report=report)


def provide_for_command(arguments: Sequence[str]) -> None:
    """Call `provide_all` for a `manage.py` command line, with only the servers that it needs. Exits on failure."""
    command = arguments[0] if arguments else "help"
    servers = () if {"--help", "-h"} & set(arguments) else COMMAND_SERVERS.get(command, ALL)
    try:
        provide_all(*servers)
    except EmbeddedError as error:
        raise SystemExit(str(error)) from error
    if command in OWNER_COMMANDS:
        become_owner()


def become_owner() -> None:
    """Let this process connect as the owner of the tables, if DATABASE_OWNER_URL says who that is."""
    if os.environ.get("DATABASE_OWNER_URL"):
        os.environ["DATABASE_URL"] = os.environ["DATABASE_OWNER_URL"]


def read_dotenv() -> None:
    """Put the repository's `.env` into os.environ, where it does not change what is set already."""
    path = REPOSITORY / ".env"
    if path.exists():
        environ.Env.read_env(str(path))


def attached_servers() -> dict[str, Server]:
    """Return the embedded servers that this process uses, by name."""
    return dict(_attached)


def leave_servers(*names: str) -> None:
    """Leave servers (default: all) now instead of at exit, and take their variables out of os.environ."""
    for name in names or tuple(_attached):
        _leave(name, os.getpid())


def _leave(name: str, pid: int) -> None:
    if os.getpid() != pid or name not in _attached:
        return
    server = _attached.pop(name)
    for variable in server.environment(server.state()):
        os.environ.pop(variable, None)
    server.release()


def _server(name: ServerName) -> Server:
    _, module, class_name = SERVERS[name]
    try:
        server_class = getattr(import_module(module), class_name)
    except ImportError as error:
        raise EmbeddedError(
            f"{SERVERS[name][0]} is not set and the local {name} is not installed ({error}): "
            "set the variable, or install the extra `embedded`"
        ) from error
    server: Server = server_class(home())
    return server
