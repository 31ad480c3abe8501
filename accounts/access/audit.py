from typing import Any

from accounts.models import AuditEvent, User


def record(*, actor: User | None, action: str, subject: object, **details: Any) -> None:
    """Append one line to the trail. Call it inside the transaction of the act."""
    AuditEvent.objects.create(actor=actor, action=action, subject=str(subject), details=details)
