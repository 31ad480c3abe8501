"""State machines: the allowed transitions of each model, enforced by a database trigger that records every change.

A model declares `TRANSITIONS` beside its statuses. The table `accounts_statetransition` holds the same pairs (the app's
`rules/*.sql` insert them; a test compares the two). The trigger `driveway_transition` refuses any other change of
`status` and writes an event row for each allowed one, for single rows and batches, and also for changes by raw SQL.
"""

from collections.abc import Mapping
from typing import Any

from django.db import models

from core.errors import InvalidTransition

Transitions = Mapping[str, tuple[str, ...]]


class TransitionEvent(models.Model):
    """One change of state. Only the trigger writes it; `reason` is a copy of the row's `status_code`."""

    id = models.BigAutoField(primary_key=True)
    from_status = models.CharField(max_length=16, blank=True)
    to_status = models.CharField(max_length=16)
    reason = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        abstract = True
        ordering = ["id"]


def transition(row: models.Model, to: str, *, code: str = "", **changes: Any) -> None:
    """Move one row to status `to` and write `changes` in the same statement.

    Raises InvalidTransition when the present status does not allow it, or when another process changed the status
    first.
    """
    old = getattr(row, "status")  # noqa: B009 - getattr, since mypy finds no such attribute on models.Model
    allowed: Transitions = getattr(type(row), "TRANSITIONS")  # noqa: B009
    if to not in allowed.get(old, ()):
        raise InvalidTransition(f"{type(row).__name__} cannot go from {old} to {to}.")
    values = {"status": to, "status_code": code, **changes}
    moved = type(row)._default_manager.filter(pk=row.pk, status=old).update(**values)
    if not moved:
        raise InvalidTransition(f"{type(row).__name__} is no longer {old}.")
    for name, value in values.items():
        setattr(row, name, value)
