"""`driveway-agent`: pair or enrol a vehicle, run its agent, show its status and key, test sensors, withdraw consent."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from compute.agent.commands.assembly import Options, run_agent
from compute.agent.commands.enrolment import enrol
from compute.agent.commands.inspection import inspect
from compute.agent.commands.pairing import Screen, pair
from compute.agent.commands.screen import Json, Plain, Terminal
from compute.agent.commands.withdrawal import withdraw, withdrawal_summary
from compute.agent.sensors import HELP as SENSORS_HELP
from compute.agent.sensors import open_sensors
from compute.agent.state.errors import AgentError
from compute.agent.state.files import is_locked
from compute.agent.state.hardware import describe
from compute.agent.state.identity import load_identity
from compute.agent.status import read_status, status_summary
from compute.agent.work.blobs import DEFAULT_CACHE_BYTES

OK, FAILED, NOT_RUNNING, INTERRUPTED = 0, 1, 3, 130
_EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 (status only) the agent is not running."
_MEBIBYTE = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
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
    open_sensors(options.sensors, options.state).close()
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


def _pair(options: argparse.Namespace) -> int:
    os.umask(0o077)
    open_sensors(options.sensors, options.state).close()
    screen: Screen = Plain(sys.stdout)
    if options.json:
        screen = Json(sys.stdout)
    elif sys.stdout.isatty():
        screen = Terminal(sys.stdout, with_qr=options.qr)
    try:
        enrolment = asyncio.run(
            pair(
                server=options.server,
                state=options.state,
                sensors=options.sensors,
                hardware=describe(options.kind),
                screen=screen,
            )
        )
    except KeyboardInterrupt:
        print("Stopped. Nothing was connected. Run the same command to continue with this code.", file=sys.stderr)
        return INTERRUPTED
    if isinstance(screen, Json):
        screen.print_event(event="paired", node=enrolment.node, hardware_class=enrolment.hardware_class)
    else:
        print(f"Connected as {enrolment.node}, hardware class {enrolment.hardware_class}.")
        print(f"Give your consent in the portal, then start it: driveway-agent run --state {options.state}")
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
        print(status_summary(status, is_running=is_running))
    return OK if is_running else NOT_RUNNING


def _key(options: argparse.Namespace) -> int:
    print(load_identity(options.state).public_key_hex)
    return OK


def _sensors(options: argparse.Namespace) -> int:
    inspection = inspect(state=options.state, sensors=options.sensors, within_s=options.wait)
    print(msgspec.json.format(msgspec.json.encode(inspection)).decode() if options.json else inspection.in_words())
    return OK if inspection.is_trusted else FAILED


def _withdraw(options: argparse.Namespace) -> int:
    withdrawn = asyncio.run(withdraw(state=options.state, purpose=options.purpose, server=options.server))
    print(withdrawal_summary(options.purpose, withdrawn))
    return OK


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder of this vehicle's state")
    common.add_argument("--verbose", action="store_true", help="log more")
    parser = argparse.ArgumentParser(prog="driveway-agent", description="The vehicle agent.", epilog=_EXIT_CODES)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_enrol(commands.add_parser("enrol", parents=[common], help="enrol this vehicle, once"))
    _add_pair(commands.add_parser("pair", parents=[common], help="show a code that connects this vehicle, once"))
    _add_run(commands.add_parser("run", parents=[common], help="run the agent until SIGTERM"))
    status = commands.add_parser("status", parents=[common], help="show the agent's status", epilog=_EXIT_CODES)
    status.add_argument("--json", action="store_true", help="print status.json")
    status.set_defaults(command=_status)
    key = commands.add_parser(
        "key", parents=[common], help="print the public key that verifies this vehicle's signatures"
    )
    key.set_defaults(command=_key)
    _add_sensors(commands.add_parser("sensors", help="read the car's sensors once and check the owner's rules"))
    _add_withdraw(commands.add_parser("withdraw", parents=[common], help="withdraw the owner's consent now"))
    return parser


def _add_sensors(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "For installers: take one reading of the car and evaluate the owner's rules on it. Nothing is sent."
    )
    parser.epilog = "Exit codes: 0 the reading can be trusted, 1 it cannot, or there is none."
    parser.add_argument(
        "--state", type=Path, default=Path(), metavar="DIR", help="folder of the vehicle's state, if enrolled"
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.add_argument("--sensors", default="", metavar="SOURCE", help=f"{SENSORS_HELP}; default: as enrolled")
    parser.add_argument(
        "--wait", type=float, default=15.0, metavar="SECONDS", help="wait for a first reading (default 15)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=_sensors)


def _add_enrol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--code", required=True, help="one-time code from the owner's page")
    _add_vehicle(parser)
    parser.set_defaults(command=_enrol)


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-qr", dest="qr", action="store_false", help="do not show the address as a QR code")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    _add_vehicle(parser)
    parser.set_defaults(command=_pair)


def _add_vehicle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", required=True, metavar="URL", help="address of the marketplace")
    parser.add_argument("--sensors", default="simulated", metavar="SOURCE", help=SENSORS_HELP)
    parser.add_argument(
        "--kind", default="simulated", choices=("simulated", "box", "oem"), help="kind of this computer"
    )


def _add_withdraw(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--purpose", default="run_jobs", help="consent to withdraw (default run_jobs: all work stops)")
    parser.add_argument("--server", default="", metavar="URL", help="use this server instead of the enrolled one")
    parser.set_defaults(command=_withdraw)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", default="", metavar="URL", help="use this server instead of the enrolled one")
    parser.add_argument("--sensors", default="", metavar="SOURCE", help="use these instead of the enrolled sensors")
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
