"""`manage.py close_invoices`: close the invoices that are due."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.invoices import invoices
from billing.management.until_option import add_until_option, parse_until


class Command(BaseCommand):
    help = "Close the invoices that are due: those of last month, or everything up to a time. Safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        add_until_option(parser)

    def handle(self, *args: Any, until: str | None = None, **options: Any) -> None:
        count = invoices.close_due(until=parse_until(until)) if until else invoices.close_month()
        self.stdout.write(f"{count} invoices")
