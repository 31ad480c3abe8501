"""Django's mail backend that writes each mail into settings.MAIL_FOLDER."""

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from marketplace.mailbox import mail_files


class FolderBackend(BaseEmailBackend):
    """Writes mails to files and sends nothing."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Write the mails and return their number. Raises OSError."""
        for message in email_messages:
            mail_files.write(Path(settings.MAIL_FOLDER), message.message().as_bytes())
        return len(email_messages)
