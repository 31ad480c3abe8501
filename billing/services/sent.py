from dataclasses import dataclass


@dataclass(frozen=True)
class Sent:
    """What Stripe answered to a command: the object that it made."""

    object_id: str
    url: str = ""
