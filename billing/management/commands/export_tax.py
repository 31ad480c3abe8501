"""`manage.py export_tax`: write a year's tax export of all owners; each owner can read who exported it and why."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.access import operators
from accounts.access.reason import WORDS_MAX, WORDS_MIN
from accounts.models import User
from billing.earnings import tax_files
from core.errors import DomainError


class Command(BaseCommand):
    help = (
        "Write what every owner was paid in a year to a CSV file. Each owner in it can read in the access log who made "
        "the export, when and why."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--year", type=int, required=True)
        parser.add_argument(
            "--by", required=True, help="Your own e-mail address as an operator. Owners can read your first name."
        )
        parser.add_argument(
            "--reason", required=True, help="Why: owners can read it. Name the legal duty, not a person."
        )
        parser.add_argument("--output", required=True, help="Path of a new file; only you will be able to read it.")

    def handle(self, *args: Any, **options: Any) -> None:
        reason, actor = _reason(options["reason"]), _operator(options["by"])
        if not 2000 <= options["year"] <= 2999:
            raise CommandError("The year is out of range.")
        try:
            # O_EXCL: never write personal data into an existing file, which others may be able to read.
            descriptor = os.open(options["output"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CommandError(f"Cannot write {options['output']}: {error.strerror}") from error
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(tax_files.export(year=options["year"], reason=reason, actor=actor))
        self.stdout.write(f"Written: {options['output']}")


def _reason(text: str) -> str:
    reason = text.strip()
    if not WORDS_MIN <= len(reason) <= WORDS_MAX:
        raise CommandError(f"The reason must have {WORDS_MIN} to {WORDS_MAX} characters.")
    return reason


def _operator(email: str) -> User:
    try:
        return operators.operator_of_email(email)
    except DomainError as error:
        raise CommandError(f"{error.code}: {error.message}") from error
