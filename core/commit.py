"""Which code a figure was measured on: reports carry it, and `python -m benchmarks.pages` compares it with today's."""

import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# Pages are written by the runs whose commit they carry: they are no code.
CODE = ("--", ".", ":(exclude)*.md")


def measured_on() -> str:
    """Return a sentence with the commit and the time: "Measured on commit 0123abc (2026-11-24 08:22 UTC)."."""
    return f"Measured on commit {commit()} ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC)."


@cache
def commit() -> str:
    """Return the short id of the checkout's commit, followed by "-dirty" when code differs; "unknown" where git says nothing.

    The first answer stays for the life of the process: a long run asks when it begins, and is of that code.
    """
    short = _git("rev-parse", "--short", "HEAD")
    return (
        f"{short}-dirty"
        if short and _git("status", "--porcelain", "--untracked-files=no", *CODE)
        else short or "unknown"
    )


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except OSError:  # no git on this machine
        return ""
    return done.stdout.strip()
