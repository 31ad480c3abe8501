"""`manage.py verify_receipt FILE`: is it ours, and whole? Needs no account and no database."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.receipts.keys import KeyRing
from accounts.receipts.service import key_ring
from accounts.receipts.verify import Report, verify

FAILED = 1
FILE_MAX_BYTES = 512 * 1024 * 1024  # an owner's whole history; the public page takes less


class Command(BaseCommand):
    help = "Verify a consent receipt, a list of them, or an owner's whole chain. Exit code 0: it holds; 1: it does not."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the file, or - for standard input")
        parser.add_argument(
            "--public-key",
            action="append",
            default=[],
            metavar="HEX",
            help="trust this Ed25519 key (64 hex digits) instead of this installation's; may be given again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        keys = _given_keys(options["public_key"]) if options["public_key"] else key_ring()
        report = verify(_read(options["file"]), keys, max_bytes=FILE_MAX_BYTES)
        for line in lines(report):
            self.stdout.write(line)
        if not report.is_valid:
            sys.exit(FAILED)


def lines(report: Report) -> list[str]:
    """The result in words: every receipt, everything that is wrong with it, and the verdict."""
    positions = {seen.position for seen in report.receipts} | {finding.position for finding in report.findings}
    wrong: dict[int, list[str]] = {position: [] for position in positions}
    for finding in report.findings:
        wrong[finding.position].append(f"  WRONG  {finding.sentence} [{finding.code}]")
    said = {
        seen.position: f"{seen.said.get('event', {}).get('event_time', '')}  {seen.said.get('purpose', '')} "
        f"{seen.said.get('event', {}).get('event_state', '')}, number {seen.seq}, receipt {seen.receipt_id}"
        for seen in report.receipts
    }
    shown = [
        line
        for position in sorted(wrong)
        for line in [said.get(position, f"Receipt {position}" if position else "The file"), *wrong[position]]
    ]
    return [*shown, *_verdict(report)]


def _verdict(report: Report) -> list[str]:
    if not report.is_valid:
        count = len(report.findings)
        return [f"NOT VALID: {count} {'thing is' if count == 1 else 'things are'} wrong."]
    keys = sorted({seen.key_id for seen in report.receipts})
    count = len(report.receipts)
    found = f"VALID: {count} {'receipt holds' if count == 1 else 'receipts hold'}"
    if report.complete_at:
        found += f", complete as of {report.complete_at}"
    return [f"{found}.", *(f"Signed with {key}" for key in keys)]


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
