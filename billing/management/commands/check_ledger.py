"""`manage.py check_ledger`: run all checks of the ledger now."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from billing.ledger import check_runs
from billing.ledger.checks import CHECKS


class Command(BaseCommand):
    help = (
        "Recompute the whole ledger from the rows that it was built from. Exit code 1 when anything differs; the "
        "differences are also shown to operators in the back office."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        differences = check_runs.run()
        for name, (description, _) in CHECKS.items():
            found = [difference for difference in differences if difference.check == name]
            self.stdout.write(f"{name:<18} {description:<50} {len(found) or 'ok'}")
            for difference in found:
                self.stdout.write(f"    {difference}")
        if differences:
            sys.exit(1)
