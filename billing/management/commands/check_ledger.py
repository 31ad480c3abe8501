import sys
from typing import Any

from django.core.management.base import BaseCommand

from billing.ledger import check_runs
from billing.ledger.checks import CHECKS


class Command(BaseCommand):
    help = "Compute the whole ledger again from the rows beneath it. Exit code 1 when anything differs; operators see it too."

    def handle(self, *args: Any, **options: Any) -> None:
        differences = check_runs.run()
        for name, (says, _) in CHECKS.items():
            found = [difference for difference in differences if difference.check == name]
            self.stdout.write(f"{name:<18} {says:<50} {len(found) or 'ok'}")
            for difference in found:
                self.stdout.write(f"    {difference}")
        if differences:
            sys.exit(1)
