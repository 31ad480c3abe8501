"""A table as a queue: workers claim rows under a lease and retry failures with increasing delays.

Such a row has `due_at` (the time from which a worker may claim it) and `attempts` (how often it was claimed). A claim
moves `due_at` to the end of its lease, so the row of a worker that dies becomes due again by itself. `attempts` and
`due_at` together identify a claim: a worker whose lease has ended no longer matches the row (`claim_condition`) and
writes nothing.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.utils import timezone

Row = TypeVar("Row", bound=Model)
CLAIM_FIELDS = ("attempts", "due_at")


def claim(rows: QuerySet[Row], *, lease: Callable[[int], timedelta], limit: int = 1) -> list[Row]:
    """Claim up to `limit` rows, the longest due first, and return them. Call it in a transaction.

    Rows that another transaction has locked are skipped. `lease` returns how long a claim lasts, given the number of
    attempts before it. The claim is set on the objects only: the caller saves CLAIM_FIELDS with its own changes.
    """
    now = timezone.now()
    free = rows.select_for_update(skip_locked=True, of=("self",)).order_by("due_at", "id")
    taken: list[Any] = list(free[:limit])
    for row in taken:
        row.due_at = now + lease(row.attempts)
        row.attempts += 1
    return taken


def claim_condition(row: Any) -> Q:
    """Return the condition that a row is still under our claim: no other worker has claimed it since."""
    return Q(pk=row.pk, attempts=row.attempts, due_at=row.due_at)


def retry_delay(attempts: int, *, longest_s: int) -> timedelta:
    """Return the delay before the next attempt: 2 s after the first, then 4 s, 8 s, ... up to `longest_s`."""
    return timedelta(seconds=min(2**attempts, longest_s))
