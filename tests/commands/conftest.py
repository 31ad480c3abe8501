"""A scratch site that the commands share, with servers of its own in a folder that goes afterwards."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.scratch import FROM_OUTSIDE
from marketplace.local import embedded

TIMEOUT_S = 1800  # of one command, on a machine that is slow and does other things
SHOWN = 6000


@dataclass(frozen=True)
class Site:
    """Folder and environment of commands. Without servers in the environment each command starts its own there."""

    home: Path
    environment: dict[str, str] = field(repr=False)  # not for a failing test's traceback

    def run(self, command: str) -> str:
        """Return what a command printed; fail with its output if it ends with another code than 0, or prints nothing."""
        done = subprocess.run(
            shlex.split(command.format(home=self.home)),
            cwd=embedded.REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        said = f"\n{command}\n{done.stdout[-SHOWN:]}\n{done.stderr[-SHOWN:]}"
        assert done.returncode == 0, f"exit code {done.returncode}{said}"
        assert done.stdout.strip(), f"an empty report{said}"
        return done.stdout


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in FROM_OUTSIDE}
    return kept | {
        "DRIVEWAY_HOME": str(home),
        "DRIVEWAY_ENV": "development",
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "ORT_DISABLE_TELEMETRY": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture
def empty() -> Iterator[Site]:
    """Nothing but a folder, for programs that bring up their own site."""
    home = Path(tempfile.mkdtemp(prefix="dw-"))  # short: PostgreSQL's socket lies in it
    yield Site(home, _environment(home))
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Servers that run, with the data of tests/commands/site.py."""
    home = Path(tempfile.mkdtemp(prefix="dw-"))
    with pytest.MonkeyPatch.context() as patch:
        for name in FROM_OUTSIDE:
            patch.delenv(name, raising=False)
        for name, value in _environment(home).items():
            patch.setenv(name, value)
        embedded.provide_secrets(home)
        try:
            embedded.provide(*embedded.ALL)
            made = Site(home, dict(os.environ))
            made.run("python manage.py migrate")
            made.run("python -m tests.commands.site {home}")
            yield made
        finally:
            embedded.leave()
            shutil.rmtree(home)
