from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from billing.services import invoices
from marketplace.core.errors import DomainError


class Command(BaseCommand):
    help = "Make the invoices that are due. What is closed already is left alone, so it may run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--until", help="End of the period: an ISO date and time (UTC), or now. Default: last month's end."
        )

    def handle(self, *args: Any, until: str | None = None, **options: Any) -> None:
        try:
            made = invoices.close_due(until=_moment(until))
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{made} invoices")


def _moment(text: str | None) -> datetime:
    if text is None or text == "now":
        return timezone.now() if text else invoices.month_due(timezone.now())
    try:
        parsed = parse_datetime(text)
    except ValueError:
        parsed = None
    if parsed is None:
        raise CommandError(f"{text} is no ISO date and time.")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
