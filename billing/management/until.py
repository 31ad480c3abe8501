"""The option of commands that close a period."""

from datetime import UTC, datetime

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime


def add_until(parser: CommandParser) -> None:
    parser.add_argument(
        "--until", help="a moment (ISO 8601, UTC if it names no zone), or now; none: the last month's end"
    )


def moment(text: str) -> datetime:
    """Raises CommandError for what is no moment, or one that is to come."""
    now = timezone.now()
    if text == "now":
        return now
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None:
        raise CommandError(f"{text} is not a moment: write 2026-11-01T00:00Z, or now")
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > now:
        raise CommandError("A period that is not over cannot be closed.")
    return at
