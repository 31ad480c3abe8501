from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Sum

from billing.management.until import add_until, moment
from billing.models import Statement
from billing.statements import statements
from core.locale import format_money


class Command(BaseCommand):
    help = "Close owners' statements: the last month that is over, or everything up to a moment."

    def add_arguments(self, parser: CommandParser) -> None:
        add_until(parser)

    def handle(self, *args: Any, until: str | None = None, **options: Any) -> None:
        before = Statement.objects.order_by("-id").values_list("id", flat=True).first() or 0
        made = statements.close_due(until=moment(until)) if until else statements.close_month()
        new = Statement.objects.filter(pk__gt=before).values("currency").annotate(paid=Sum("paid_out_micro"))
        paid = ", ".join(format_money(row["paid"], row["currency"]) for row in new) or "nothing"
        self.stdout.write(f"{made} statements closed, {paid} to be paid out")
