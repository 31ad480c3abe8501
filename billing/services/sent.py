from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Sent:
    """What Stripe answered to a command: the object that it made, and how it stands, where that matters."""

    object_id: str
    url: str = ""
    status: str = ""
    status_code: str = ""
    made_at: datetime | None = None
