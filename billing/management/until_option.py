"""The `--until` option of the commands that close a period."""

from datetime import UTC, datetime

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime


def add_until_option(parser: CommandParser) -> None:
    """Add `--until` to a command."""
    parser.add_argument(
        "--until",
        help="close up to this time (ISO 8601; UTC if it has no zone), or `now`; default: the end of last month",
    )


def parse_until(text: str) -> datetime:
    """Parse the option's value: an aware time that is not in the future. Raises CommandError for anything else."""
    now = timezone.now()
    if text == "now":
        return now
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None:
        raise CommandError(f"{text} is not a time: write 2026-11-01T00:00Z, or now")
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > now:
        raise CommandError("A period that is not over cannot be closed.")
    return at
