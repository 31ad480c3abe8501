"""`manage.py send_news FILE`: mail news to owners who consented. The first line is the subject, the rest the text."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.consents import news


class Command(BaseCommand):
    help = "Queue a news mail to every owner whose consent to news is in force. Running it again sends no mail twice."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="text in UTF-8: the subject, an empty line, the body")
        parser.add_argument(
            "--campaign", help="name of the campaign; an owner gets one mail per campaign (default: the file's name)"
        )
        parser.add_argument("--dry-run", action="store_true", help="only print how many owners would get the mail")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            subject, _, body = options["file"].read_text(encoding="utf-8").strip().partition("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        campaign = options["campaign"] or options["file"].stem
        if not subject.strip() or not body.strip():
            raise CommandError("The first line is the subject, the text follows after an empty line.")
        if len(campaign) > 80:
            raise CommandError("A campaign's name has at most 80 characters.")
        if options["dry_run"]:
            self.stdout.write(f"{campaign}: {len(news.recipients())} owners consent to news.")
            return
        count = news.send(campaign=campaign, subject=subject.strip(), body=body.strip())
        self.stdout.write(f"{campaign}: the mail goes to {count} owners.")
