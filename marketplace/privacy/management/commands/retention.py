"""`manage.py retention`: delete rows whose retention has ended, and report every table."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from marketplace.privacy import retention


class Command(BaseCommand):
    help = (
        "Delete rows whose retention has ended, and report for every table: rows due, rows deleted, the oldest row due."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="report without deleting")

    def handle(self, *args: Any, **options: Any) -> None:
        lines = retention.run(dry_run=options["dry_run"])
        self.stdout.write(f"{'table':<34}{'after':>10}  {'action':<12}{'due':>8}{'deleted':>9}  {'oldest due':<12}why")
        for line in lines:
            rule = line.rule
            after = "-" if rule.days is None else f"{rule.days} days"
            oldest = f"{line.oldest:%Y-%m-%d}" if line.oldest else "-"
            self.stdout.write(
                f"{rule.table:<34}{after:>10}  {rule.action:<12}{line.due:>8}{line.deleted:>9}  {oldest:<12}{rule.why}"
            )
