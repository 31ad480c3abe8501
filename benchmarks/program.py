"""What every benchmark does around its measuring: servers of its own that never stay behind, a report printed and kept."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.scratch import scratch_database
from marketplace.embedded import EmbeddedError


def command(module: str) -> str:
    """As it was typed, for the report."""
    return f"python -m {module} {' '.join(sys.argv[1:])}".strip()


def run(
    measure: Callable[[], tuple[str, bool]],
    *,
    out: Path | None,
    connections: int,
    settings: Mapping[str, str] | None = None,
) -> int:
    """Measure in a scratch database; `measure` returns the report and whether all held. The exit code."""
    # Ended by a supervisor's SIGTERM as by Ctrl-C: the servers must not stay behind.
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
    print(f"\n{text}")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    return 0 if ok else 1
