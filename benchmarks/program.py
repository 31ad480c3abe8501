"""The frame of every benchmark: options, servers of its own that always stop, and a report that is printed and kept."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.scratch import scratch_database
from core.commit import commit
from marketplace.local.embedded import EmbeddedError

SMOKE = "**A smoke run (`--quick`)**: it shows that the command works. Its figures mean nothing."


def command(module: str) -> str:
    """Return the command line as it was typed, for the report."""
    return f"python -m {module} {' '.join(sys.argv[1:])}".strip()


def parser(module: str, *, quick: str, out: str = "") -> argparse.ArgumentParser:
    """Return a parser with --quick (`quick` says what it makes smaller) and, if there is a page to write, --out."""
    options = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}", description=f"See benchmarks/README.md, `python -m benchmarks.{module}`."
    )
    options.add_argument(
        "--quick", action="store_true", help=f"a smoke run: {quick}. Its figures mean nothing, and no file is written"
    )
    if out:
        options.add_argument("--out", type=Path, help=f"write the report to this file ({out})")
    return options


def parse(made: argparse.ArgumentParser, **small: Any) -> argparse.Namespace:
    """Return the options; with --quick, `small` are the defaults. Exits on bad options and on --quick with --out."""
    options = made.parse_args()
    commit()  # reads and caches the present commit, before another one is made during the run
    if options.quick and getattr(options, "out", None):
        made.error("--quick writes no report")
    if options.quick:
        made.set_defaults(**small)
        options = made.parse_args()
    return options


def publish(text: str, options: argparse.Namespace) -> None:
    """Print the report, labelled if it is a smoke run's, and write it where --out says."""
    print("\n".join(["", *([SMOKE, ""] if options.quick else []), text]), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)


def run(
    measure: Callable[[], tuple[str, bool]],
    options: argparse.Namespace,
    *,
    connections: int,
    settings: Mapping[str, str] | None = None,
) -> int:
    """Measure in a scratch database, publish the report, and return the exit code.

    `measure` returns the report and whether every check held.
    """
    # On SIGTERM exit in the normal way, as on Ctrl-C, so that the servers are stopped.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with scratch_database(connections=connections, settings=settings):
            text, ok = measure()
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except EmbeddedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    publish(text, options)
    return 0 if ok else 1
