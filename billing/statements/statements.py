"""Close owners' statements: what was earned in a period, what was corrected, and the payout of all whole coins.

A statement takes every transfer on the owner's `payable` account that counts for a time before the period's end and is
on no statement yet. A transfer that is posted later for an earlier time is on the next statement, marked late. The
payout is posted in the same transaction, so the statement shows what is paid and what is carried over.

Owners are processed in chunks, each in a transaction of its own: after a crash the next run does the rest. Two
concurrent runs wait for each other on the locks of the owners' accounts.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.mails import outbox
from accounts.models import Owner
from billing import periods
from billing.ledger import posting
from billing.ledger.posting import AccountName
from billing.models import LedgerAccount, Payout, Statement, StatementEntry
from billing.statements import sql
from billing.stripe.amounts import micro_per_minor
from core import workers
from core.db import atomic_retrying

CHUNK = 500  # owners in one transaction
Kind = LedgerAccount.Kind


def close_due(*, until: datetime, opened_by: datetime | None = None) -> int:
    """Close, for every owner and currency, the period from the last statement's end up to `until`.

    Return how many were made. Safe to repeat. A statement is made only if it has a transfer or a payout. `opened_by`
    leaves out accounts opened later.
    """
    count, after = 0, 0
    while owners := _owners(after, until, opened_by):
        count += len(_close(owners, until, settings.PAYOUT_MIN_MICRO))
        after = owners[-1]
    if count:
        workers.announce("statements")
        outbox.wake()
    return count


def close_owner(*, owner: Owner, until: datetime) -> int:
    """Close the last statements of an owner who leaves: pay all whole coins, without a minimum.

    Return how many were made.
    """
    count = len(_close([owner.pk], until, 0))
    if count:
        workers.announce("statements")
    return count


def close_month(*, now: datetime | None = None) -> int:
    """Close the last calendar month (UTC) whose grace period has passed. Return how many statements were made.

    A repeated run in the same month closes only those that are missing. Accounts opened after the grace period are left
    out: otherwise every hourly run would examine every new owner. Their transfers of that month are on the next
    statement, marked late.
    """
    month = periods.last_due(now or timezone.now())
    return close_due(until=month, opened_by=month + periods.grace())


def _owners(after: int, until: datetime, opened_by: datetime | None) -> list[int]:
    """Return the ids of the next CHUNK owners, above id `after`, who have no statement up to `until` yet."""
    stated = Statement.objects.filter(owner=OuterRef("owner"), currency=OuterRef("currency"), period_end_at__gte=until)
    opened = Q(created_at__lte=opened_by) if opened_by else Q()
    payables = LedgerAccount.objects.filter(opened, ~Exists(stated), kind=Kind.PAYABLE, owner_id__gt=after)
    return list(payables.order_by("owner_id").values_list("owner_id", flat=True).distinct()[:CHUNK])


@atomic_retrying
def _close(owners: Sequence[int], until: datetime, minimum_micro: int) -> list[int]:
    """Close one chunk of owners in one transaction. Return the ids of the statements that were made."""
    currencies = list(
        LedgerAccount.objects.filter(kind=Kind.PAYABLE, owner_id__in=owners)
        .values_list("currency", flat=True)
        .distinct()
    )
    values: dict[str, Any] = {
        "owners": list(owners),
        "until": until,
        "minimum": minimum_micro,
        "currencies": currencies,
        "coins": [micro_per_minor(currency) for currency in currencies],
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.LOCK, values)
        values["locked"] = [row[0] for row in cursor.fetchall()]
        cursor.execute(sql.STATEMENTS, values)
        rows = cursor.fetchall()
        if not rows:
            return []
        values["made"] = [row[0] for row in rows]
        _pay(cursor, values, [row for row in rows if row[3]])
        cursor.execute(sql.MAILS, values)
    return list(values["made"])


def _pay(cursor: Any, values: dict[str, Any], due: Sequence[tuple[Any, ...]]) -> None:
    """Post the payouts, add each as an entry of its own statement, and schedule them."""
    if not due:
        return
    # Open the in_transit accounts that are missing: PAYOUTS joins them and would otherwise drop these statements.
    posting.accounts(
        AccountName(kind=Kind.IN_TRANSIT, currency=currency, owner_id=owner) for _, owner, currency, _ in due
    )
    cursor.execute(sql.PAYOUTS, values)
    rows = cursor.fetchall()
    StatementEntry.objects.bulk_create(
        StatementEntry(statement_id=statement, transfer_id=transfer, amount_micro=-micro)
        for statement, _, micro, _, _, transfer in rows
    )
    hold = timedelta(days=settings.PAYOUT_HOLD_DAYS)
    # `payouts.send_due` holds the payouts of suspected owners before it sends anything.
    Payout.objects.bulk_create(
        Payout(
            statement_id=statement,
            owner_id=owner,
            amount_micro=micro,
            currency=currency,
            due_at=end + hold,
            posting_id=transfer,
        )
        for statement, owner, micro, currency, end, transfer in rows
    )
