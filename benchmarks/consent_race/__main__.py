"""`python -m benchmarks.consent_race [--seconds 60] [--threads 8]`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.scratch import scratch_database
from marketplace.embedded import EmbeddedError


def main() -> int:
    options = arguments()
    # Ended by a supervisor's SIGTERM as by Ctrl-C: the servers must not stay behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with scratch_database(connections=options.threads + 4):
            from benchmarks.consent_race import race, report

            print(f"Racing for {options.seconds:g} s with {options.threads} threads", flush=True)
            outcome = race.run(options.seconds, options.threads)
            text = report.markdown(outcome, f"python -m benchmarks.consent_race {' '.join(sys.argv[1:])}".strip())
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except EmbeddedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(f"\n{text}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)
    return 0 if outcome.ok else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consent_race", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to race (default 60)")
    parser.add_argument(
        "--threads", type=int, default=8, help="4 to 64: half decide, a quarter dispatches, a quarter syncs"
    )
    parser.add_argument("--out", type=Path, help="write the report here (docs/consent-race.md)")
    options = parser.parse_args()
    if not (4 <= options.threads <= 64 and options.seconds > 0):
        parser.error("--threads goes from 4 to 64, --seconds is positive")
    return options


if __name__ == "__main__":
    sys.exit(main())
