import sys
from typing import Any

from django.core.management.base import BaseCommand

from billing.services.ledger import recompute
from billing.services.ledger_checks import CHECKS


class Command(BaseCommand):
    help = "Compute the whole ledger again from the rows beneath it. Exit code 1 when anything differs."

    def handle(self, *args: Any, **options: Any) -> None:
        differences = recompute()
        for name, (says, _) in CHECKS.items():
            found = [difference for difference in differences if difference.check == name]
            self.stdout.write(f"{name:<16} {says:<46} {len(found) or 'ok'}")
            for difference in found:
                self.stdout.write(f"    {difference}")
        if differences:
            sys.exit(1)
