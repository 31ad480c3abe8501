"""The outbox of mails to people.

Queue a mail in the transaction of the event that it reports. A worker sends it afterwards: once, and twice only if the
worker dies between sending it and noting so.
"""

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.template import TemplateDoesNotExist
from django.utils import timezone

from accounts.mails.kinds import KINDS, SETTABLE
from accounts.mails.texts import message_of
from accounts.models import ConsentCurrent, Mail, Owner, User
from core import workers
from core.queue import CLAIM_FIELDS, claim, claim_condition

logger = logging.getLogger(__name__)
TASK = "accounts.send_mails"
# A batch is small enough to be sent within its lease, even if every mail takes EMAIL_TIMEOUT.
BATCH, ATTEMPTS = 10, 12
FIRST_RETRY, DOUBLINGS = timedelta(minutes=2), 7  # retries after 2, 4, 8, ... minutes, at most 4 hours: two days in all


def queue(
    *,
    user: User,
    kind: str,
    dedupe_key: str,
    context: dict[str, Any] | None = None,
    due_at: datetime | None = None,
) -> None:
    """Queue a mail of `kind` (templates/emails/<kind>-subject.txt and -body.txt) unless one with this key exists.

    `context` is JSON for the templates. Leave out personal data that the templates can read from the user when the mail
    is sent. "headers" in it become headers of the mail. Values in ISO form whose names end in "_at" (date and time) or
    "_on" (date) are formatted for the owner's locale. `due_at` sends the mail later.
    """
    row = Mail(
        user=user,
        kind=kind,
        dedupe_key=dedupe_key,
        context=context or {},
        due_at=due_at or timezone.now(),
    )
    Mail.objects.bulk_create([row], ignore_conflicts=True)
    if due_at is None:
        wake()


def wake() -> None:
    """Have waiting mails sent after this transaction commits."""
    workers.wake(TASK)


def send_due(*, limit: int = BATCH) -> int:
    """Send or drop up to `limit` mails that are due. Return how many were claimed.

    Each mail is claimed before it is sent, so no other worker sends it. After a crash between sending and noting so, it
    is sent again when its lease ends. A mail that cannot be sent is retried with increasing delays and dropped after
    ATTEMPTS.
    """
    mails = _claim(limit)
    connection = get_connection()
    try:
        for mail in mails:
            _settle(mail, connection)
    finally:
        _close(connection)
    return len(mails)


@transaction.atomic
def _claim(limit: int) -> list[Mail]:
    """Claim mails that are due. The lease is also the delay before the next attempt, so it doubles with each."""
    waiting = Mail.objects.filter(sent_at=None, dropped_at=None, due_at__lte=timezone.now()).select_related("user")
    rows = claim(waiting, lease=lambda attempts: FIRST_RETRY * 2 ** min(attempts, DOUBLINGS), limit=limit)
    Mail.objects.bulk_update(rows, CLAIM_FIELDS)
    return rows


def _settle(mail: Mail, connection: BaseEmailBackend) -> None:
    """Send one claimed mail, drop it, or leave it for its next attempt."""
    if not Mail.objects.filter(claim_condition(mail), sent_at=None, dropped_at=None).exists():
        return None  # our lease ended and another worker has claimed the mail
    owner = Owner.objects.filter(user=mail.user_id).first()
    code = "too_many_attempts" if mail.attempts > ATTEMPTS else _drop_code(mail, owner)
    if code:
        return _drop(mail, code)
    try:
        message = message_of(mail, owner)
        message.connection = connection
        message.send()
    except TemplateDoesNotExist as error:
        logger.error("no template for mails of kind %s: %s", mail.kind, error)
        _drop(mail, "no_template")
    except SMTPRecipientsRefused as error:
        if all(status >= 500 for status, _ in error.recipients.values()):
            return _drop(mail, "address_refused")
        logger.warning(
            "mail %d was refused for now, SMTP status %s", mail.pk, [status for status, _ in error.recipients.values()]
        )
    except Exception:
        _close(connection)  # the connection may be the cause; the next mail opens a new one
        logger.exception("mail %d failed, attempt %d of %d", mail.pk, mail.attempts, ATTEMPTS)
        if mail.attempts >= ATTEMPTS:
            _drop(mail, "too_many_attempts")
    else:
        Mail.objects.filter(pk=mail.pk).update(sent_at=timezone.now())


def _drop_code(mail: Mail, owner: Owner | None) -> str:
    """Return the reason code for which a mail must not be sent, or ""."""
    kind = KINDS.get(mail.kind)
    if kind is None:
        return "unknown_kind"
    if owner and owner.erased_at:
        return "erased"  # the address is erased too
    if kind.optional and (not mail.user.is_active or (owner and owner.deactivated_at)):
        return "account_closed"
    if owner and mail.kind in SETTABLE and mail.kind in owner.mails_off:
        return "not_wanted"
    if kind.purpose and not _consents(owner, kind.purpose):
        return "no_consent"
    return ""


def _consents(owner: Owner | None, purpose: str) -> bool:
    current = ConsentCurrent.objects.filter(owner=owner, vehicle=None, purpose=purpose).first() if owner else None
    return current is not None and current.is_in_force


def _drop(mail: Mail, code: str) -> None:
    Mail.objects.filter(pk=mail.pk).update(dropped_at=timezone.now(), dropped_code=code)


def _close(connection: BaseEmailBackend) -> None:
    with suppress(OSError):
        connection.close()
