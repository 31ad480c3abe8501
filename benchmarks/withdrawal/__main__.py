"""`python -m benchmarks.withdrawal [--count 200]`: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import program
from benchmarks.withdrawal.site import own_site
from marketplace.local.embedded.process import EmbeddedError
from marketplace.local.embedded.stack import Stack

CARRIERS = {"on": ("nats",), "off": ("https",), "both": ("nats", "https")}


def main() -> int:
    """Start the site, measure, and return the exit code."""
    options = arguments()
    # On SIGTERM exit in the normal way, as on Ctrl-C, so that the servers are stopped.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    home = Path(tempfile.mkdtemp(prefix="driveway-withdrawal-"))
    try:
        with own_site(home) as stack:
            import django

            django.setup()
            code = measure(stack, options)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        code = 130
    except EmbeddedError as error:
        print(f"\n{error}", file=sys.stderr)
        code = 1
    finally:
        if options.keep:
            print(f"Logs and data are in {home}.", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)
    return code


def measure(stack: Stack, options: argparse.Namespace) -> int:
    """Run all rounds and the checks, and publish the report.

    Returns 0 only if every withdrawal was obeyed and, with --strict, in time.
    """
    import httpx
    from django.db import connection

    from benchmarks.withdrawal import checks, fleet, report
    from benchmarks.withdrawal.clicks import CLICKS
    from benchmarks.withdrawal.load import LoadProcess
    from benchmarks.withdrawal.rounds import Runner, plans
    from benchmarks.withdrawal.watch import Watch
    from marketplace.local.demo.customer import ApiError
    from marketplace.local.demo.owner import PortalError

    round_plans = plans(
        CARRIERS[options.nats], [CLICKS[name] for name in options.clicks], count=options.count, rounds=options.rounds
    )
    try:
        with ExitStack() as closing:
            closing.callback(connection.close_pool)
            watch = closing.enter_context(Watch())
            count = options.cars + options.others
            print(f"{count} cars, enrolled through the portal; {options.others} of them never withdraw", flush=True)
            cars = fleet.make_fleet(stack, watch, closing, count)
            orders = fleet.make_orders(stack, cars=count, requests_per_s=options.requests, pollers=options.pollers)
            print(f"Units of {orders.unit_items} items; {options.count} withdrawals of each kind", flush=True)
            load = closing.enter_context(LoadProcess(orders, stack.log_path("load")))
            runner = Runner(stack, watch, cars[: options.cars], cars[options.cars :], load)
            rounds = [runner.run(plan) for plan in round_plans]
            tally = load.end()
            result = report.Result(rounds, tally, checks.violations(), checks.earned(), options.cars, options.others)
    except (ApiError, PortalError, httpx.HTTPError) as error:
        raise EmbeddedError(f"The benchmark could not continue: {error!r}") from error
    program.publish(report.markdown(result, program.command("benchmarks.withdrawal")), options)
    return 1 if result.wrong or (options.strict and result.missed) else 0


def arguments() -> argparse.Namespace:
    """Return the command's options. Exits on bad ones."""
    parser = program.parser(
        "withdrawal", quick="2 withdrawals of each kind by 2 cars, in one round", out="docs/withdrawal.md"
    )
    parser.add_argument("--count", type=positive, default=200, help="withdrawals of each kind (default 200)")
    parser.add_argument("--nats", choices=tuple(CARRIERS), default="both", help="with NATS, without, or both (default)")
    parser.add_argument("--cars", type=positive, default=4, help="up to 8 cars whose owners withdraw (default 4)")
    parser.add_argument("--others", type=positive, default=1, help="cars that never withdraw (default 1)")
    parser.add_argument(
        "--click",
        dest="clicks",
        action="append",
        choices=("portal", "agent"),
        default=[],
        help="how the owner withdraws: portal (default) or agent (`driveway-agent withdraw`); may be given twice",
    )
    parser.add_argument(
        "--rounds", type=positive, default=2, help="rounds of each kind, in alternating order (default 2)"
    )
    parser.add_argument("--requests", type=float, default=20.0, help="API requests a second of the load (default 20)")
    parser.add_argument("--pollers", type=positive, default=4, help="clients that send these requests (default 4)")
    parser.add_argument("--strict", action="store_true", help="also fail when a target in time is missed")
    parser.add_argument("--keep", action="store_true", help="keep the folder of logs and data")
    options = program.parse(parser, count=2, cars=2, rounds=1, requests=5.0, pollers=1)
    if options.cars > 8:
        parser.error("--cars must be at most 8: each car needs a thread and a database session here")
    options.clicks = list(dict.fromkeys(options.clicks)) or ["portal"]
    return options


def positive(text: str) -> int:
    """Return the number, or raise an error that argparse shows."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
