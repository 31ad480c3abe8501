"""Invoices: what a customer's work cost in a period, and what was given back, each charge on exactly one.

What is on no invoice yet and took effect before the period's end is on the next one, however late it was posted. While an
organization's invoices are made its hold and wallet are locked, so no posting is half done: what a closing does not see was posted
after it. That is why the next closing need look no further back than this one's end, but for a day: long enough for any
transaction, whose `posted_at` is the time of its beginning.
"""

from datetime import datetime

from django.db import connection
from django.utils import timezone

from accounts.mails import outbox
from billing import periods
from billing.invoices.sql import CLOSE, LOCK, TELL, WITH_CHARGES
from billing.models import Invoice
from core.db import atomic_retrying, execute_batch
from core.errors import InvalidInput

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


def close_month(*, now: datetime | None = None) -> int:
    """As close_due, up to the last month's end (UTC) that is over for longer than the grace."""
    return close_due(until=periods.last_due(now or timezone.now()))


def _with_charges(until: datetime, last: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(WITH_CHARGES, {"until": until, "last": last, "limit": CHUNK})
        return [row[0] for row in cursor]


@atomic_retrying
def _close(until: datetime, organizations: list[int]) -> int:
    execute_batch(LOCK, [organizations])
    made = [row[0] for row in execute_batch(CLOSE, {"organizations": organizations, "until": until})]
    execute_batch(TELL, [made])
    outbox.wake()
    return len(made)


def number_of(invoice: Invoice) -> str:
    """Unlike any other customer's: the beginning of the organization's id, and the number that is counted for it."""
    return f"{invoice.organization.public_id.hex[:8].upper()}-{invoice.number:04d}"
