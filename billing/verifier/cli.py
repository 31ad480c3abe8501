"""The command `driveway-verify PACKAGE`.

Exit code 0: all that was paid follows from what was signed. 1: it does not. 2: the package cannot be read.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from billing.verifier.errors import Unreadable
from billing.verifier.keys import fingerprint
from billing.verifier.source import open_source
from billing.verifier.verification import Report, as_json, verify

HOLDS, DIFFERS, UNREADABLE = 0, 1, 2
SHOWN = 20  # findings and gaps that are printed
MICRO, NANO = 10**6, 10**9


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a package, print the report and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with open_source(options.package) as source:
            report = verify(source, node_keys=options.key, platform_key=options.platform_key or "")
    except Unreadable as error:
        if options.json:
            print(json.dumps({"holds": False, "error": {"code": error.code, "message": error.message}}))
        else:
            print(f"This package cannot be checked: {_plain(str(error))}", file=sys.stderr)
        return UNREADABLE
    print(json.dumps(as_json(report), indent=2) if options.json else "\n".join(lines(report)))
    return HOLDS if report.holds else DIFFERS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="driveway-verify",
        description="Recompute a statement from the records that the cars signed. Needs no account and no network.",
        epilog="Exit code 0: recomputed = paid; 1: recomputed != paid; 2: the package cannot be read.",
    )
    parser.add_argument("package", type=Path, help="records.zip of a statement, or the folder that it was unpacked to")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--key",
        type=_key,
        action="append",
        default=[],
        metavar="HEX",
        help="the public key that the car shows; repeat the option for each car",
    )
    parser.add_argument(
        "--platform-key",
        type=_key,
        default=None,
        metavar="HEX",
        help="the platform's public key, as published at /statements/keys.json",
    )
    return parser


def _key(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError("a key is 64 hex digits")
    return text.lower()


def lines(report: Report) -> list[str]:
    """Return the report as lines of text; the last line is the verdict."""
    return [*_about(report), "", *_checked(report), "", *_money(report), "", *_verdict(report)]


def _about(report: Report) -> list[str]:
    statement = report.statement
    key = (
        "the key that you gave"
        if report.platform_key_pinned
        else "the key in the package: compare it with the published key, or give --platform-key"
    )
    return [
        f"Statement {statement.number} ({statement.id}) of owner {report.owner}, by {_plain(report.issuer)}",
        f"{statement.period_start_at} to {statement.period_end_at}, {statement.currency}",
        f"Platform    {fingerprint(report.platform_key)} ({key})",
        *(f"Computer    {node.id}, key {node.public_key}, since {node.enrolled_at}" for node in report.nodes),
        *(
            []
            if report.keys_pinned
            else ["            Compare these keys with those that the cars show, or give --key"]
        ),
    ]


def _checked(report: Report) -> list[str]:
    missing = sum(gap.last_seq - gap.first_seq + 1 for gap in report.missing)
    text = [
        f"{report.records} signed records, {report.links} of them continue the one before; "
        f"{missing} records between them are not in the package",
        *(
            f"  {gap.node} {gap.first_seq} to {gap.last_seq}, the platform's reason: "
            + ", ".join(f"{_plain(why)} {count}" for why, count in sorted(gap.why.items()))
            for gap in report.gaps[:SHOWN]
        ),
    ]
    if len(report.gaps) > SHOWN:
        text.append(f"  and {len(report.gaps) - SHOWN} more, in manifest.json")
    return [
        *text,
        f"{report.ocmf} OCMF records (energy; not MID or Eichrecht certified)",
        f"{report.voids} records paid before and taken back",
    ]


def _money(report: Report) -> list[str]:
    statement, total, currency = report.statement, report.total, report.statement.currency
    rows = [
        ("carried over", statement.opening_micro),
        ("work, recomputed", total.amount_micro),
        ("work, as stated", statement.earned_micro),
        ("corrections", statement.corrected_micro),
        ("held, released, returned", statement.other_micro),
        ("paid out", -statement.paid_out_micro),
        ("carried on", statement.carried_micro),
    ]
    text = [
        f"{total.attempts} units of work, {total.compute_ms / 3_600_000:.6f} compute-hours, "
        f"{total.energy_mwh / 1_000_000:.6f} kWh billed",
        *(f"  {name:<24}{_amount(micro, MICRO, 6):>22} {currency}" for name, micro in rows),
        f"  {'your energy':<24}{_amount(total.energy_cost_nano, NANO, 9):>22} {currency}, by your tariff",
        f"  {'your battery wear':<24}{_amount(total.wear_nano, NANO, 9):>22} {currency}, by your rules",
    ]
    if report.costs_settled:
        text.append(
            f"  {report.costs_settled} records: tariff computed back from their cost, as your rules have changed since"
        )
    if report.stated_micro:
        text.append(
            f"  {_amount(report.stated_micro, MICRO, 6)} {currency} are entries without records, taken as stated"
        )
    return text


def _verdict(report: Report) -> list[str]:
    if report.holds:
        return ["recomputed = paid"]
    hidden = report.findings_count - SHOWN
    findings = [f"WRONG  {_plain(str(finding))}" for finding in report.findings[:SHOWN]]
    return [*findings, *([f"and {hidden} more"] if hidden > 0 else []), "recomputed != paid"]


def _amount(value: int, unit: int, places: int) -> str:
    return f"{Decimal(value) / unit:,.{places}f}"


def _plain(text: str) -> str:
    """Replace control characters: texts from a package must not be able to control the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
