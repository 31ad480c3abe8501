"""The audit trail: who did what. The database keeps its rows from changes."""

from typing import Any

from accounts.models import AuditEvent, User


def record(*, actor: User | None, action: str, subject: object, **details: Any) -> None:
    """Append an entry to the audit trail. Call it in the transaction of the act. Without an actor, the system acted."""
    AuditEvent.objects.create(actor=actor, action=action, subject=str(subject), details=details)
