"""A scratch site that the commands share, with servers of its own in a folder that is deleted afterwards."""

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

TIMEOUT_S = 1800  # of one command, on a slow and busy machine
SHOWN = 6000  # characters of a failed command's output


@dataclass(frozen=True)
class Site:
    """The folder and the environment of commands.

    Without servers in the environment each command starts its own there.
    """

    home: Path
    environment: dict[str, str] = field(repr=False)  # it holds secrets: keep them out of a failing test's traceback

    def run(self, command: str) -> str:
        """Return what a command printed. Fail with its output if its exit code is not 0 or it printed nothing."""
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
        output = f"\n{command}\n{done.stdout[-SHOWN:]}\n{done.stderr[-SHOWN:]}"
        assert done.returncode == 0, f"exit code {done.returncode}{output}"
        assert done.stdout.strip(), f"no output on stdout{output}"
        return done.stdout


def _environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in FROM_OUTSIDE}
    return inherited | {
        "DRIVEWAY_HOME": str(home),
        "DRIVEWAY_ENV": "development",
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "ORT_DISABLE_TELEMETRY": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture
def empty() -> Iterator[Site]:
    """Yield a site without servers, for programs that start their own."""
    home = Path(tempfile.mkdtemp(prefix="dw-"))  # a short path: PostgreSQL's socket is in it
    yield Site(home, _environment(home))
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Yield a site with running servers and the data of tests/commands/site.py."""
    home = Path(tempfile.mkdtemp(prefix="dw-"))
    with pytest.MonkeyPatch.context() as patch:
        for name in FROM_OUTSIDE:
            patch.delenv(name, raising=False)
        for name, value in _environment(home).items():
            patch.setenv(name, value)
        embedded.provide_secrets(home)
        try:
            embedded.provide(*embedded.ALL)
            running = Site(home, dict(os.environ))
            running.run("python manage.py migrate")
            running.run("python -m tests.commands.site {home}")
            yield running
        finally:
            embedded.leave_servers()
            shutil.rmtree(home)
