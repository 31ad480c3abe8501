"""`manage.py publish_notice FILE`: publish a consent text. A file holds one purpose, version and language:

---
purpose: run_jobs
version: 2
language: en
validity_days: 365
effective_at: 2026-12-15T00:00:00+00:00
---
Title

Summary, one paragraph.

The text, in paragraphs.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.consents import notices
from core.errors import DomainError

FIELDS = ("purpose", "version", "language", "validity_days", "effective_at")
DEFAULT_VALIDITY = "365"


class Command(BaseCommand):
    help = (
        "Publish the text of a purpose and mail the owners who consented to an older version."
        " A published text never changes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="front matter between lines of ---, then title, summary and text")
        parser.add_argument("--purpose", help="replaces the value in the front matter, like the options below")
        parser.add_argument(
            "--number",
            dest="version",
            help="the version's number: one more than the newest, or the newest to add a language",
        )
        parser.add_argument("--language", help="a short code, like de")
        parser.add_argument("--validity-days", help=f"how long a consent lasts (default {DEFAULT_VALIDITY})")
        parser.add_argument(
            "--effective-at", help="ISO 8601; from this time on, consent to older versions is no longer valid"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            front, paragraphs = parse(options["file"].read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        values = front | {name: options[name] for name in FIELDS if options[name] is not None}
        if len(paragraphs) < 3:
            raise CommandError(
                "After the front matter come a title, a summary and the text, with empty lines between them."
            )
        try:
            notice, is_new = notices.publish(
                purpose=_required(values, "purpose"),
                version=_number(values, "version"),
                language=values.get("language", notices.DEFAULT_LANGUAGE),
                title=paragraphs[0],
                summary=paragraphs[1],
                body="\n\n".join(paragraphs[2:]),
                validity_days=_number({"validity_days": DEFAULT_VALIDITY} | values, "validity_days"),
                effective_at=_time(values.get("effective_at", "")),
            )
        except DomainError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        self.stdout.write(f"{notice} {'published' if is_new else 'was published already'}, SHA-256 {notice.sha256}")
        self.stdout.write(f"It takes effect at {notice.effective_at.isoformat()}.")
        self.stdout.write(f"{_announce()} owners will be informed by mail.")


def parse(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the fields of the front matter and the paragraphs after it, each on one line. Raises CommandError."""
    front: dict[str, str] = {}
    lines = text.replace("\r\n", "\n").strip().split("\n")
    if lines[0].strip() == "---":
        marks = [number for number, line in enumerate(lines) if line.strip() == "---"]
        if len(marks) < 2:
            raise CommandError("The front matter does not end: a second line of --- is missing.")
        for line in lines[1 : marks[1]]:
            name, colon, value = line.partition(":")
            if not colon or name.strip() not in FIELDS:
                raise CommandError(f"Not a field of the front matter: {line.strip()[:60]}")
            front[name.strip()] = value.strip()
        lines = lines[marks[1] + 1 :]
    blocks = "\n".join(line.rstrip() for line in lines).split("\n\n")
    return front, [" ".join(block.split()) for block in blocks if block.strip()]


def _announce() -> int:
    total = 0
    while count := notices.announce():
        total += count
    return total


def _required(values: dict[str, str], name: str) -> str:
    if not values.get(name):
        raise CommandError(f"{name} is missing.")
    return values[name]


def _number(values: dict[str, str], name: str) -> int:
    text = _required(values, name)
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise CommandError(f"{name} must be a whole number.")
    return int(text)


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(
            "effective_at must be a date and time in ISO 8601, like 2026-12-15T00:00:00+00:00."
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
