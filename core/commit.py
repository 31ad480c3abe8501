"""The Git commit that a benchmark ran on.

Reports name it, and `python -m benchmarks.pages` compares it with today's code.
"""

import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# Markdown pages do not count as code: a benchmark run itself writes the page that carries its commit.
CODE = ("--", ".", ":(exclude)*.md")


def measured_on() -> str:
    """Return a sentence with the commit and the time: "Measured on commit 0123abc (2026-11-24 08:22 UTC)."."""
    return f"Measured on commit {commit()} ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC)."


@cache
def commit() -> str:
    """Return the short id of the commit that is checked out, or "unknown" when git does not answer.

    Ends in "-dirty" when code differs from that commit. The result is cached for the life of the process, so that a
    long run that asks at its start names the code it started with.
    """
    short = _git("rev-parse", "--short", "HEAD")
    return (
        f"{short}-dirty"
        if short and _git("status", "--porcelain", "--untracked-files=no", *CODE)
        else short or "unknown"
    )


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except OSError:  # no git on this machine
        return ""
    return result.stdout.strip()
