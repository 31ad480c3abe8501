"""`python -m benchmarks.consent_race [--seconds 60] [--threads 8]`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import sys

from benchmarks import program


def main() -> int:
    """Run the race, print the report and return the exit code."""
    options = arguments()

    def measure() -> tuple[str, bool]:
        from benchmarks.consent_race import race, report

        print(f"Racing for {options.seconds:g} s with {options.threads} threads", flush=True)
        outcome = race.run(options.seconds, options.threads)
        return report.markdown(outcome, program.command("benchmarks.consent_race")), outcome.ok

    return program.run(measure, options, connections=options.threads + 4)


def arguments() -> argparse.Namespace:
    """Return the command's options. Exits on bad ones."""
    parser = program.parser("consent_race", quick="5 s", out="docs/consent-race.md")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to race (default 60)")
    parser.add_argument(
        "--threads",
        type=int,
        default=8,
        help="4 to 64: half decide about consent, a quarter dispatches, a quarter syncs",
    )
    options = program.parse(parser, seconds=5.0)
    if not (4 <= options.threads <= 64 and options.seconds > 0):
        parser.error("--threads must be between 4 and 64, and --seconds positive")
    return options


if __name__ == "__main__":
    sys.exit(main())
