from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.models import StripeCommand

CLOCKS_DIFFER = timedelta(hours=1)


@dataclass(frozen=True)
class Sent:
    """What Stripe answered to a command: the object that it made, and how it stands, where that matters."""

    object_id: str
    url: str = ""
    status: str = ""
    status_code: str = ""
    made_at: datetime | None = None


def since_unix(command: StripeCommand) -> int:
    """From when on to look for what an earlier attempt may have made."""
    assert command.first_sent_at is not None  # set by the claim
    return int((command.first_sent_at - CLOCKS_DIFFER).timestamp())
