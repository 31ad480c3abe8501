from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.invoices import invoices
from billing.management.until import add_until, moment


class Command(BaseCommand):
    help = "Make the invoices that are due. What is closed already is left alone, so it may run again."

    def add_arguments(self, parser: CommandParser) -> None:
        add_until(parser)

    def handle(self, *args: Any, until: str | None = None, **options: Any) -> None:
        made = invoices.close_due(until=moment(until)) if until else invoices.close_month()
        self.stdout.write(f"{made} invoices")
