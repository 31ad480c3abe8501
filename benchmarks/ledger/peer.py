"""django-hordak in an environment of its own, pinned with hashes, and in a database of its own on our PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from marketplace.local.embedded import REPOSITORY

PROGRAM = Path(__file__).with_name("hordak_peer.py")
PINS = REPOSITORY / "requirements" / "peer-hordak.txt"
DATABASE = "hordak"


class Peer:
    """The peer with its tables. Each `run` is a process of its own; its start is not timed."""

    def __init__(self) -> None:
        self.python = _environment(REPOSITORY / ".driveway" / "peers" / "hordak")
        self.url = _database()
        self.run("migrate", 0, 1)

    def run(self, shape: str, count: int, batch: int) -> float:
        """Return the seconds for `count` transfers. Raises RuntimeError if the peer fails."""
        done = subprocess.run(
            [str(self.python), str(PROGRAM), shape, str(count), str(batch)],
            env={**os.environ, "PEER_DATABASE_URL": self.url},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"hordak failed:\n{done.stderr[-2000:]}")
        return float(json.loads(done.stdout.splitlines()[-1]).get("seconds", 0))

    def version(self) -> str:
        """Return the version of django-hordak."""
        done = subprocess.run(
            [str(self.python), "-c", "import importlib.metadata as m; print(m.version('django-hordak'))"],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()


def _environment(folder: Path) -> Path:
    """Return the environment's Python. It is installed on first use, and again when the pins change."""
    python = folder / "venv" / "bin" / "python"
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_text() != PINS.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / "venv")], check=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
        subprocess.run([*pip, "--require-hashes", "-r", str(PINS)], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(PINS.read_text())
    return python


def _database() -> str:
    ours = os.environ.get("DATABASE_OWNER_URL") or os.environ["DATABASE_URL"]
    with psycopg.connect(ours, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{DATABASE}"')
    return urlunsplit(urlsplit(ours)._replace(path=f"/{DATABASE}"))
