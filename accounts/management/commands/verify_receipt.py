"""`manage.py verify_receipt FILE`: verify that a consent receipt is genuine and unchanged.

Needs no account or database.
"""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.receipts.keys import KeyRing
from accounts.receipts.service import key_ring
from accounts.receipts.verification import Report, verify

FAILED = 1
FILE_MAX_BYTES = 512 * 1024 * 1024  # large enough for an owner's whole history; the public page accepts less


class Command(BaseCommand):
    help = "Verify a consent receipt, a list of them, or an owner's whole chain. Exit code 0: valid; 1: not valid."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the file, or - for standard input")
        parser.add_argument(
            "--public-key",
            action="append",
            default=[],
            metavar="HEX",
            help="trust this Ed25519 key (64 hex digits) instead of this installation's keys; may be repeated",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        keys = _given_keys(options["public_key"]) if options["public_key"] else key_ring()
        report = verify(_read(options["file"]), keys, max_bytes=FILE_MAX_BYTES)
        for line in lines(report):
            self.stdout.write(line)
        if not report.is_valid:
            sys.exit(FAILED)


def lines(report: Report) -> list[str]:
    """Return the report as lines of text: each receipt with its findings, then the verdict."""
    positions = {seen.position for seen in report.receipts} | {finding.position for finding in report.findings}
    findings: dict[int, list[str]] = {position: [] for position in positions}
    for finding in report.findings:
        findings[finding.position].append(f"  WRONG  {finding.sentence} [{finding.code}]")
    titles = {
        seen.position: f"{seen.said.get('event', {}).get('event_time', '')}  {seen.said.get('purpose', '')} "
        f"{seen.said.get('event', {}).get('event_state', '')}, number {seen.seq}, receipt {seen.receipt_id}"
        for seen in report.receipts
    }
    shown = [
        line
        for position in sorted(findings)
        for line in [titles.get(position, f"Receipt {position}" if position else "The file"), *findings[position]]
    ]
    return [*shown, *_verdict(report)]


def _verdict(report: Report) -> list[str]:
    if not report.is_valid:
        count = len(report.findings)
        return [f"NOT VALID: {count} {'problem' if count == 1 else 'problems'} found."]
    keys = sorted({seen.key_id for seen in report.receipts})
    count = len(report.receipts)
    verdict = f"VALID: {count} {'receipt' if count == 1 else 'receipts'}"
    if report.complete_at:
        verdict += f", complete as of {report.complete_at}"
    return [f"{verdict}.", *(f"Signed with {key}" for key in keys)]


def _read(name: str) -> bytes:
    try:
        if name == "-":
            return sys.stdin.buffer.read(FILE_MAX_BYTES + 1)
        with Path(name).open("rb") as file:
            return file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}") from error


def _given_keys(texts: list[str]) -> KeyRing:
    try:
        return KeyRing([bytes.fromhex(text) for text in texts])
    except ValueError as error:
        raise CommandError("A public key is 64 hex digits.") from error
