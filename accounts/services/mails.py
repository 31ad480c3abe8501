"""The outbox of mails to people. Queue one in the transaction of the act that it tells of; a worker sends it, once."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.models import Mail, User


def queue(
    *,
    user: User,
    kind: str,
    dedupe_key: str,
    context: dict[str, Any] | None = None,
    not_before_at: datetime | None = None,
) -> None:
    """Write a mail of `kind` (templates/emails/<kind>-subject.txt and -body.txt) unless one with this key exists.

    `context` is JSON: no person data that the templates could read from the user at sending.
    """
    row = Mail(
        user=user, kind=kind, dedupe_key=dedupe_key, context=context or {},
        not_before_at=not_before_at or timezone.now(),
    )  # fmt: skip
    Mail.objects.bulk_create([row], ignore_conflicts=True)
