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

from accounts.mail_kinds import KINDS, SETTABLE
from accounts.mail_texts import message_of
from accounts.models import ConsentCurrent, Mail, Owner, User
from marketplace.core import kicks

logger = logging.getLogger(__name__)
BATCH, TRIES = 10, 12  # a batch is sent well within the claim on it, each mail having EMAIL_TIMEOUT
FIRST_RETRY, DOUBLINGS = timedelta(minutes=2), 7  # 2 minutes, 4, 8, ... 4 hours: two days in all


def queue(
    *,
    user: User,
    kind: str,
    dedupe_key: str,
    context: dict[str, Any] | None = None,
    not_before_at: datetime | None = None,
) -> None:
    """Write a mail of `kind` (templates/emails/<kind>-subject.txt and -body.txt) unless one with this key exists.

    `context` is JSON: no person data that the templates could read from the user at sending. Its "headers" become the
    mail's; values whose names end in "_at" (a moment) or "_on" (a day), in ISO form, are written as the owner writes them.
    """
    row = Mail(
        user=user, kind=kind, dedupe_key=dedupe_key, context=context or {},
        not_before_at=not_before_at or timezone.now(),
    )  # fmt: skip
    Mail.objects.bulk_create([row], ignore_conflicts=True)
    if not_before_at is None:
        kicks.kick("accounts.send_mails")


def send_due(*, limit: int = BATCH) -> int:
    """Send or drop the mails whose time has come. Returns how many were looked at.

    Each is claimed before it is sent: another worker does not see it, and after a crash in between it goes out once more
    when its claim has passed. A mail that cannot be sent is tried again, ever later, and dropped at last.
    """
    claimed = _claim(limit)
    connection = get_connection()
    try:
        for mail in claimed:
            _settle(mail, connection)
    finally:
        _close(connection)
    return len(claimed)


@transaction.atomic
def _claim(limit: int) -> list[Mail]:
    """Take mails by moving their time past the moment at which a lost one may be tried again."""
    now = timezone.now()
    waiting = Mail.objects.filter(sent_at=None, dropped_at=None, not_before_at__lte=now)
    rows = list(
        waiting.select_for_update(skip_locked=True, of=["self"])
        .select_related("user")
        .order_by("not_before_at", "id")[:limit]
    )
    for mail in rows:
        mail.not_before_at = now + FIRST_RETRY * 2 ** min(mail.tries, DOUBLINGS)
        mail.tries += 1
    Mail.objects.bulk_update(rows, ["tries", "not_before_at"])
    return rows


def _settle(mail: Mail, connection: BaseEmailBackend) -> None:
    """Send one claimed mail, or drop it, or leave it for its next try."""
    if not Mail.objects.filter(pk=mail.pk, sent_at=None, dropped_at=None, tries=mail.tries).exists():
        return None  # our claim ran out, and another worker has taken it
    owner = Owner.objects.filter(user=mail.user_id).first()
    code = "too_many_tries" if mail.tries > TRIES else _unwanted(mail, owner)
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
        logger.exception("mail %d failed, try %d of %d", mail.pk, mail.tries, TRIES)
        if mail.tries >= TRIES:
            _drop(mail, "too_many_tries")
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
