"""State machines: one table of allowed transitions a model, held by a database trigger, with an event row for each.

A model declares `TRANSITIONS` beside its statuses. The same pairs stand in the table `accounts_statetransition`
(written by the app's `*_rules` migration; a test compares the two), and the trigger `driveway_transition` refuses any
other change of `status` and writes the event row, whoever makes the change and in batches of any size.
"""

from collections.abc import Mapping
from typing import Any

from django.db import models

from core.errors import InvalidTransition

Transitions = Mapping[str, tuple[str, ...]]


class TransitionEvent(models.Model):
    """One change of state, written by the trigger only. `reason` copies the row's `status_code`."""

    id = models.BigAutoField(primary_key=True)
    from_status = models.CharField(max_length=16, blank=True)
    to_status = models.CharField(max_length=16)
    reason = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        abstract = True
        ordering = ["id"]


def transition(row: models.Model, to: str, *, code: str = "", **changes: Any) -> None:
    """Move one row to status `to` if its present status allows it; `changes` are written in the same statement.

    Raises InvalidTransition when it does not, or when another process moved the row first.
    """
    old = getattr(row, "status")  # noqa: B009 - every model with a state machine has it, models.Model does not say so
    allowed: Transitions = getattr(type(row), "TRANSITIONS")  # noqa: B009
    if to not in allowed.get(old, ()):
        raise InvalidTransition(f"{type(row).__name__} cannot go from {old} to {to}.")
    values = {"status": to, "status_code": code, **changes}
    moved = type(row)._default_manager.filter(pk=row.pk, status=old).update(**values)
    if not moved:
        raise InvalidTransition(f"{type(row).__name__} is no longer {old}.")
    for name, value in values.items():
        setattr(row, name, value)
