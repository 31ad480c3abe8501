from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Sent:
    """What Stripe answered to a command: the object that it made, and when, where that matters."""

    object_id: str
    url: str = ""
    made_at: datetime | None = None
