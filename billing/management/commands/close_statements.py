from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Sum
from django.utils import timezone

from billing.models import Statement
from billing.services import statements
from marketplace.core.money import format_micro


class Command(BaseCommand):
    help = "Close owners' statements: the last month that is over, or everything up to a moment."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--until", help="a moment (ISO 8601, UTC if it names no zone), or `now`; none: the last month"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        before = Statement.objects.order_by("-id").values_list("id", flat=True).first() or 0
        until = options["until"]
        made = statements.close_due(until=moment(until)) if until else statements.close_month()
        new = Statement.objects.filter(pk__gt=before).values("currency").annotate(paid=Sum("paid_out_micro"))
        paid = ", ".join(format_micro(row["paid"], row["currency"]) for row in new) or "nothing"
        self.stdout.write(f"{made} statements closed, {paid} to be paid out")


def moment(text: str) -> datetime:
    """Raises CommandError for what is no moment, or one that is to come."""
    now = timezone.now()
    if text == "now":
        return now
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text} is not a moment: write 2026-11-01T00:00Z, or now") from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > now:
        raise CommandError("A period that is not over cannot be closed.")
    return at
