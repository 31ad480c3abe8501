"""`manage.py close_statements`: close the owners' statements that are due."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Sum

from billing.management.until_option import add_until_option, parse_until
from billing.models import Statement
from billing.statements import statements
from core.locale import format_money


class Command(BaseCommand):
    help = "Close owners' statements: those of last month, or everything up to a time. Safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        add_until_option(parser)

    def handle(self, *args: Any, until: str | None = None, **options: Any) -> None:
        before = Statement.objects.order_by("-id").values_list("id", flat=True).first() or 0
        count = statements.close_due(until=parse_until(until)) if until else statements.close_month()
        new = Statement.objects.filter(pk__gt=before).values("currency").annotate(paid=Sum("paid_out_micro"))
        paid = ", ".join(format_money(row["paid"], row["currency"]) for row in new) or "nothing"
        self.stdout.write(f"{count} statements closed, {paid} to be paid out")
