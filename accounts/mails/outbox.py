"""The outbox of mails to people. Queue one in the transaction of the act that it tells of; a worker sends it, once."""

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
from core.queue import CLAIM_FIELDS, claimed, take

logger = logging.getLogger(__name__)
TASK = "accounts.send_mails"
BATCH, ATTEMPTS = 10, 12  # a batch is sent well within the claim on it, each mail having EMAIL_TIMEOUT
FIRST_RETRY, DOUBLINGS = timedelta(minutes=2), 7  # 2 minutes, 4, 8, ... 4 hours: two days in all


def queue(
    *,
    user: User,
    kind: str,
    dedupe_key: str,
    context: dict[str, Any] | None = None,
    due_at: datetime | None = None,
) -> None:
    """Write a mail of `kind` (templates/emails/<kind>-subject.txt and -body.txt) unless one with this key exists.

    `context` is JSON: no person data that the templates could read from the user at sending. Its "headers" become the
    mail's; values whose names end in "_at" (a moment) or "_on" (a day), in ISO form, are written as the owner writes them.
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
    """Have waiting mails sent as soon as this transaction has committed."""
    workers.wake(TASK)


def send_due(*, limit: int = BATCH) -> int:
    """Send or drop the mails whose time has come. Returns how many were looked at.

    Each is claimed before it is sent: another worker does not see it, and after a crash in between it goes out once more
    when its claim has passed. A mail that cannot be sent is tried again, ever later, and dropped at last.
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
    """Take mails that are due. The lease is the time until the next try as well: it ends later each time."""
    waiting = Mail.objects.filter(sent_at=None, dropped_at=None, due_at__lte=timezone.now()).select_related("user")
    rows = take(waiting, lease=lambda attempts: FIRST_RETRY * 2 ** min(attempts, DOUBLINGS), limit=limit)
    Mail.objects.bulk_update(rows, CLAIM_FIELDS)
    return rows


def _settle(mail: Mail, connection: BaseEmailBackend) -> None:
    """Send one claimed mail, or drop it, or leave it for its next try."""
    if not Mail.objects.filter(claimed(mail), sent_at=None, dropped_at=None).exists():
        return None  # our claim ran out, and another worker has taken it
    owner = Owner.objects.filter(user=mail.user_id).first()
    code = "too_many_attempts" if mail.attempts > ATTEMPTS else _unwanted(mail, owner)
    if code:
        return _drop(mail, code)
    try:
        message = message_of(mail, owner)
        message.connection = connection
        message.send()
    except TemplateDoesNotExist as error:
        logger.error("no text for mails of kind %s: %s", mail.kind, error)
        _drop(mail, "no_template")
    except SMTPRecipientsRefused as error:
        if all(status >= 500 for status, _ in error.recipients.values()):
            return _drop(mail, "address_refused")
        logger.warning("mail %d was not taken now: %s", mail.pk, [status for status, _ in error.recipients.values()])
    except Exception:
        _close(connection)  # it may be what is broken; the next mail opens it anew
        logger.exception("mail %d failed, attempt %d of %d", mail.pk, mail.attempts, ATTEMPTS)
        if mail.attempts >= ATTEMPTS:
            _drop(mail, "too_many_attempts")
    else:
        Mail.objects.filter(pk=mail.pk).update(sent_at=timezone.now())


def _unwanted(mail: Mail, owner: Owner | None) -> str:
    """Why this mail is not sent, or ""."""
    kind = KINDS.get(mail.kind)
    if kind is None:
        return "unknown_kind"
    if owner and owner.erased_at:
        return "erased"  # and so is the address
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
