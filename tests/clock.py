"""Run a command at another time: `python -m tests.clock night -- COMMAND ...`, or `make test-clock CLOCK=night`.

The command and everything that it starts run at the other time, by Debian's `faketime`: the interpreter, PostgreSQL,
Redis, agents, web servers. The offset is computed once, so that time passes and every process agrees. Four things keep
the true time: `nats-server` (a Go program does not call libc; tests ask it for its time), Chromium (under libfaketime
its threads never rest), sandbox children (they get no environment and read no clock), and the times of files (otherwise
Python would compile every module again).
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

# How long before midnight the clocks `night` and `year` start: midnight then comes while most tests have not ended yet.
BEFORE_TURN = timedelta(minutes=4)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SITE = Path(__file__).with_name("faketime")
USAGE = "usage: python -m tests.clock night|sunday|leap|year|ISO-TIME -- COMMAND ..."


def start_of(name: str, now: datetime) -> datetime:
    """Return the time at which the clock `name` starts when it is `now`.

    `night` and `year` begin just before a midnight of UTC: during the run the day changes, for `year` also the month
    and the year. Raises ValueError if `name` is neither a clock's name nor an ISO time.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        "night": midnight + timedelta(days=2) - BEFORE_TURN,
        "sunday": midnight + timedelta(days=7 - midnight.weekday() - 1 or 7, hours=12),
        "leap": midnight.replace(year=_next_leap_year(midnight), month=2, day=29, hour=9),
        "year": midnight.replace(year=midnight.year + 2, month=1, day=1) - BEFORE_TURN,
    }
    return starts[name] if name in starts else _aware(datetime.fromisoformat(name))


def _next_leap_year(now: datetime) -> int:
    """Return the year of the first 29 February after `now`'s day."""
    from_year = now.year if (now.month, now.day) < (2, 29) else now.year + 1
    return next(year for year in range(from_year, from_year + 9) if year % 4 == 0 and (year % 100 or year % 400 == 0))


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def environment(home: Path) -> Mapping[str, str]:
    """Return the environment of a run with servers and temporary files of its own.

    Runs at the true time must never share them.
    """
    path = [str(_unfaked_browsers(home / "bin")), os.environ["PATH"]]
    return os.environ | {
        "PATH": os.pathsep.join(path),
        "DRIVEWAY_HOME": str(home / "home"),
        # pytest deletes old folders of other runs, and at a later time every folder is old.
        "PYTEST_DEBUG_TEMPROOT": str(home),
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SITE), os.environ.get("PYTHONPATH")])),
    }


def _unfaked_browsers(folder: Path) -> Path:
    """Return `folder` with a script for each browser of this machine, which starts it at the true time."""
    folder.mkdir()
    for found in filter(None, map(shutil.which, BROWSERS)):
        script = folder / Path(found).name
        script.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {shlex.quote(found)} "$@"\n')
        script.chmod(0o755)
    return folder


def run(name: str, command: Sequence[str]) -> int:
    """Run `command` on the clock `name`; return its exit code. Raises ValueError for an unknown clock."""
    now = datetime.now(UTC)
    start = start_of(name, now)
    if start < now:
        raise ValueError(
            f"{name} is in the past: for nats-server, which keeps the true time, all our tokens would have expired"
        )
    print(f"Clock {name}: {start:%A %Y-%m-%d %H:%M:%S} UTC, now {now:%A %Y-%m-%d %H:%M:%S}", flush=True)
    offset = f"{int((start - now).total_seconds()):+d}s"
    with tempfile.TemporaryDirectory(prefix="driveway-clock-") as home:
        # `faketime` sets LD_PRELOAD to its own library. The inner shell puts ours before it, and the first one wins.
        first = ["sh", "-c", 'LD_PRELOAD="$0:$LD_PRELOAD" exec "$@"', str(_unfaked(Path(home)))]
        faked = ["faketime", "-m", "--exclude-monotonic", "-f", offset, *first, *command]
        return subprocess.run(faked, env=environment(Path(home)), check=False).returncode


def _unfaked(folder: Path) -> Path:
    """Compile unfaked.c and return the library."""
    library = folder / "unfaked.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SITE / "unfaked.c", "-ldl"], check=True)
    return library


def main(arguments: Sequence[str]) -> int:
    """Return the command's exit code, or 2 with a message when there is nothing to run."""
    if len(arguments) < 3 or arguments[1] != "--":
        print(USAGE, file=sys.stderr)
        return 2
    if missing := [program for program in ("faketime", "cc") if not shutil.which(program)]:
        print(f"not installed: {' '.join(missing)} (`apt-get install faketime gcc libc6-dev`)", file=sys.stderr)
        return 2
    try:
        return run(arguments[0], arguments[2:])
    except ValueError as error:
        print(f"{error}\n{USAGE}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
