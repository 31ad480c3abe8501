"""Invoices: what a customer's work cost in a period, and what was given back. Each charge is on exactly one invoice.

An invoice takes every charge that took effect before the end of its period and is on no invoice yet, however late it
was posted. While an organization's invoices are made, its hold and wallet accounts are locked, so no posting is half
done: a charge that a closing does not see is posted after it. So the next closing reads only transfers posted since the
end of the last invoice's period, and of one day before, because `posted_at` is set before a posting waits for the
locks. A day is longer than any transaction lasts.
"""

from datetime import datetime

from django.db import connection
from django.utils import timezone

from accounts.mails import outbox
from billing import periods
from billing.invoices.sql import CLOSE, LOCK, QUEUE_MAILS, WITH_CHARGES
from billing.models import Invoice
from core.db import atomic_retrying, execute_batch
from core.errors import InvalidInput

CHUNK = 50  # organizations in one transaction; their settlements wait for it


def close_due(*, until: datetime) -> int:
    """Make the invoices of every organization and currency, from the end of its last invoice to `until`.

    Returns the number of invoices. Without charges or corrections there is none. Repeatable, and safe in many processes
    at once. Raises InvalidInput (`until_in_future`).
    """
    if until > timezone.now():
        raise InvalidInput("An invoice can be made only when its period has ended.", code="until_in_future")
    count, last_id = 0, 0
    while organizations := _with_charges(until, last_id):
        count += _close(until, organizations)
        last_id = organizations[-1]
    return count


def close_month(*, now: datetime | None = None) -> int:
    """Make the invoices up to the end of the last month (UTC) whose grace period is over. Returns their number."""
    return close_due(until=periods.last_due(now or timezone.now()))


def _with_charges(until: datetime, last_id: int) -> list[int]:
    """Return the ids of the next CHUNK organizations after `last_id` that have something to invoice."""
    with connection.cursor() as cursor:
        cursor.execute(WITH_CHARGES, {"until": until, "last": last_id, "limit": CHUNK})
        return [row[0] for row in cursor]


@atomic_retrying
def _close(until: datetime, organizations: list[int]) -> int:
    execute_batch(LOCK, [organizations])
    invoices = [row[0] for row in execute_batch(CLOSE, {"organizations": organizations, "until": until})]
    execute_batch(QUEUE_MAILS, [invoices])
    outbox.wake()
    return len(invoices)


def number_of(invoice: Invoice) -> str:
    """Return the printed number: the first digits of the organization's id, and the invoice's number within it.

    The digits of the id make it differ from the numbers of other customers.
    """
    return f"{invoice.organization.public_id.hex[:8].upper()}-{invoice.number:04d}"
