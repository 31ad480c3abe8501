"""Rows that workers take up: each is claimed under a lease, tried again ever later, and given up at last.

Such a row has `due_at` (when a worker may take it up) and `attempts` (how often one has). A claim moves `due_at` to the end of
its lease, so a worker that dies leaves a row that becomes due by itself. Attempt and due time together tell two claims
apart: a worker whose lease has ended finds that the row is no longer its own (`claimed`) and writes nothing.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.utils import timezone

Row = TypeVar("Row", bound=Model)
CLAIM_FIELDS = ("attempts", "due_at")


def take(rows: QuerySet[Row], *, lease: Callable[[int], timedelta], limit: int = 1) -> list[Row]:
    """Lock the first `limit` rows that nobody else has and count an attempt on each. Call it in a transaction.

    `lease` says how long a claim lasts, given the attempts before it. The caller saves CLAIM_FIELDS, with whatever else it
    changes.
    """
    now = timezone.now()
    free = rows.select_for_update(skip_locked=True, of=("self",)).order_by("due_at", "id")
    taken: list[Any] = list(free[:limit])
    for row in taken:
        row.due_at = now + lease(row.attempts)
        row.attempts += 1
    return taken


def claimed(row: Any) -> Q:
    """Return the condition under which a row is still the one that we took: nobody has taken it up since."""
    return Q(pk=row.pk, attempts=row.attempts, due_at=row.due_at)


def delay(attempts: int, *, longest_s: int) -> timedelta:
    """Return how long to wait after so many attempts: 2 s, 4 s, 8 s, ... up to `longest_s`."""
    return timedelta(seconds=min(2**attempts, longest_s))
