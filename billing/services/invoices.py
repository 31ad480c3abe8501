"""Invoices: what a customer's work cost in a period, and what was given back, each charge on exactly one.

What is on no invoice yet and took effect before the period's end is on the next one, however late it was posted. While an
organization's invoices are made its hold and wallet are locked, so no posting is half done: what a closing does not see was posted
after it. That is why the next closing need look no further back than this one's end, but for a day: long enough for any
transaction, whose `posted_at` is the time of its beginning.
"""

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from billing.services.invoice_sql import CLOSE, LOCK, TELL, WITH_CHARGES
from marketplace.core import kicks
from marketplace.core.db import atomic_retrying, execute_batch
from marketplace.core.errors import InvalidInput

# Organizations whose invoices are made in one transaction: their settlements wait for it.
CHUNK = 50


def close_due(*, until: datetime) -> int:
    """Make the invoices of every organization and currency, from the end of the last one to `until`. Returns how many.

    Without charges or corrections there is none. Repeatable, and safe in many processes at once. Raises InvalidInput
    `until_in_future`.
    """
    if until > timezone.now():
        raise InvalidInput("An invoice ends when its period has ended.", code="until_in_future")
    made, last = 0, 0
    while organizations := _with_charges(until, last):
        made += _close(until, organizations)
        last = organizations[-1]
    return made


def month_due(now: datetime) -> datetime:
    """Up to when invoices are due: the last month's end (UTC) that is more than the time of grace ago."""
    past = now.astimezone(UTC) - timedelta(hours=settings.STATEMENT_GRACE_H)
    return past.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _with_charges(until: datetime, last: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(WITH_CHARGES, {"until": until, "last": last, "limit": CHUNK})
        return [row[0] for row in cursor]


@atomic_retrying
def _close(until: datetime, organizations: list[int]) -> int:
    execute_batch(LOCK, [organizations])
    made = [row[0] for row in execute_batch(CLOSE, {"organizations": organizations, "until": until})]
    execute_batch(TELL, [made])
    kicks.kick("accounts.send_mails")
    return len(made)
