"""`python -m benchmarks.dispatch [--quick]`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.dispatch.site import Site
from marketplace.local import embedded


def main() -> int:
    """Start the site, measure, and return the exit code."""
    options = arguments()
    # On SIGTERM exit in the normal way, as on Ctrl-C, so that the servers are stopped.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with Site(home=options.home / "benchmark", concurrency=options.concurrency) as site:
        import django

        django.setup()
        # The peer has a database of its own on the same Redis server.
        os.environ["PEER_BROKER_URL"] = os.environ["REDIS_URL"].rsplit("/", 1)[0] + "/1"
        os.environ["PEER_PREFETCH"] = str(options.prefetch)
        return measure(site, options)


def measure(site: Site, options: argparse.Namespace) -> int:
    """Run rounds in alternating order, one traced round, and the checks.

    Return the exit code: 0 if every check holds.
    """
    from benchmarks.dispatch import checks, fleet, ours, peer, report, trace
    from benchmarks.dispatch import measure as measure_

    if options.quick:
        print(f"{program.SMOKE}\n")
    report.settings(
        capacity=options.capacity,
        vehicles=options.vehicles,
        owners=options.owners,
        units=options.units,
        concurrency=options.concurrency,
    )
    cars = fleet.make_fleet(owners=options.owners, vehicles=options.vehicles)

    def run_ours(number: int) -> Any:
        measure_.wait_for_quiet(options.wait)
        round_ = ours.run_round(site, cars, units=options.units, capacity=options.capacity)
        report.one(number, round_)
        return round_

    def run_peer(number: int) -> Any:
        measure_.wait_for_quiet(options.wait)
        round_ = peer.run_peer(site, tasks=options.units, concurrency=options.concurrency)
        report.one_peer(number, round_)
        return round_

    print("Warm-up and rounds", flush=True)
    ours.run_round(site, cars, units=min(1000, options.units), capacity=options.capacity)
    own_rounds, peer_rounds = [], []
    for number in range(1, options.rounds + 1):
        steps = [(own_rounds, run_ours)] + ([] if options.no_peer else [(peer_rounds, run_peer)])
        for rounds, run in steps if number % 2 else reversed(steps):
            rounds.append(run(number))
    if peer_rounds:
        report.summary(own_rounds, peer_rounds)
    report.processors(own_rounds, peer_rounds)
    if not options.no_trace:
        site.stop()
        trace.track_functions(True)
        site.start(traced=True)
        traced_round = run_ours(options.rounds + 1)
        report.traced(traced_round, trace.statements(site.trace), trace.functions())
    print(f"\n{report.LEFT_OUT}")
    return 0 if report.checks(checks.violations()) else 1


def arguments() -> argparse.Namespace:
    """Return the command's options. Exits on bad ones."""
    parser = program.parser("dispatch", quick="one round of 500 units and tasks, not waiting for a quiet machine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--units", type=int, default=10_000, help="units, and no-op tasks, in a round")
    parser.add_argument("--owners", type=int, default=25)
    parser.add_argument("--vehicles", type=int, default=50)
    parser.add_argument("--capacity", type=int, default=200, help="leases that each vehicle offers to hold")
    parser.add_argument("--concurrency", type=int, default=1, help="prefork processes, of our worker and of the peer's")
    parser.add_argument("--prefetch", type=int, default=128, help="the peer's worker_prefetch_multiplier")
    parser.add_argument(
        "--wait", type=float, default=30.0, help="seconds to wait at most for a quiet machine, each time"
    )
    parser.add_argument("--no-peer", action="store_true", help="ours alone, for profiling: nothing to publish")
    parser.add_argument("--no-trace", action="store_true", help="without the traced round")
    parser.add_argument("--home", type=Path, default=embedded.home(), help="its own folder is <home>/benchmark")
    return program.parse(parser, rounds=1, units=500, wait=0.0)


if __name__ == "__main__":
    sys.exit(main())
