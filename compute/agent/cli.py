"""`driveway-agent`: enrol a vehicle, run its agent, ask how it is, withdraw consent."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from compute.agent.assemble import Options, run_agent
from compute.agent.blobs import DEFAULT_CACHE_BYTES
from compute.agent.enrolment import enrol
from compute.agent.errors import AgentError
from compute.agent.files import is_locked
from compute.agent.hardware import describe
from compute.agent.sensors import open_sensors
from compute.agent.status import in_words, read_status
from compute.agent.withdraw import in_words as withdrawn_in_words
from compute.agent.withdraw import withdraw

OK, FAILED, NOT_RUNNING = 0, 1, 3
_EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 (status only) the agent is not running."
_MEBIBYTE = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is returned."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        return int(options.command(options))
    except AgentError as error:
        print(f"driveway-agent: {error.message} [{error.code}]", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"driveway-agent: {error}", file=sys.stderr)
        return FAILED


def _enrol(options: argparse.Namespace) -> int:
    os.umask(0o077)
    open_sensors(options.sensors, options.state)
    enrolment = asyncio.run(
        enrol(
            server=options.server,
            code=options.code,
            state=options.state,
            sensors=options.sensors,
            hardware=describe(options.kind),
        )
    )
    print(f"Enrolled as {enrolment.node}, hardware class {enrolment.hardware_class}.")
    return OK


def _run(options: argparse.Namespace) -> int:
    os.umask(0o077)
    asyncio.run(
        run_agent(
            Options(
                state=options.state,
                server=options.server,
                sensors=options.sensors,
                slots=options.slots,
                cache_bytes=options.cache_mib * _MEBIBYTE,
            )
        )
    )
    return OK


def _status(options: argparse.Namespace) -> int:
    status, is_running = read_status(options.state), is_locked(options.state)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(status)).decode())
    else:
        print(in_words(status, is_running=is_running))
    return OK if is_running else NOT_RUNNING


def _withdraw(options: argparse.Namespace) -> int:
    withdrawn = asyncio.run(withdraw(state=options.state, purpose=options.purpose, server=options.server))
    print(withdrawn_in_words(options.purpose, withdrawn))
    return OK


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder of this vehicle's state")
    common.add_argument("--verbose", action="store_true", help="log more")
    parser = argparse.ArgumentParser(prog="driveway-agent", description="The program in the car.", epilog=_EXIT_CODES)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_enrol(commands.add_parser("enrol", parents=[common], help="enrol this vehicle, once"))
    _add_run(commands.add_parser("run", parents=[common], help="run the agent until SIGTERM"))
    status = commands.add_parser("status", parents=[common], help="say how the agent is", epilog=_EXIT_CODES)
    status.add_argument("--json", action="store_true", help="print status.json")
    status.set_defaults(command=_status)
    _add_withdraw(commands.add_parser("withdraw", parents=[common], help="take back the owner's consent, here and now"))
    return parser


def _add_enrol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", required=True, metavar="URL", help="address of the marketplace")
    parser.add_argument("--code", required=True, help="one-time code from the owner's page")
    parser.add_argument("--sensors", default="simulated", metavar="NAME", help="simulated (default) or file:PATH")
    parser.add_argument(
        "--kind", default="simulated", choices=("simulated", "box", "oem"), help="what computer this is"
    )
    parser.set_defaults(command=_enrol)


def _add_withdraw(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--purpose", default="run_jobs", help="what to withdraw (default run_jobs: it stops working)")
    parser.add_argument("--server", default="", metavar="URL", help="instead of the one enrolled with")
    parser.set_defaults(command=_withdraw)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", default="", metavar="URL", help="instead of the one enrolled with")
    parser.add_argument("--sensors", default="", metavar="NAME", help="instead of those enrolled with")
    parser.add_argument(
        "--slots", type=_positive, default=1, metavar="N", help="units run at the same time (default 1)"
    )
    parser.add_argument(
        "--cache-mib",
        type=_positive,
        default=DEFAULT_CACHE_BYTES // _MEBIBYTE,
        metavar="MIB",
        help="space for models kept between units (default 1024)",
    )
    parser.set_defaults(command=_run)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
