"""The interface of a carrier, which transports `sync`. A third carrier (for instance MQTT) would be one more file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from compute.protocol import Push, SyncRequest, SyncResponse

OnPush = Callable[[Push], None]
REQUEST_TIMEOUT_S = 5.0


class Carrier(Protocol):
    """A transport for `sync`. `name` is "nats" or "https"."""

    name: str

    async def request(self, message: SyncRequest) -> SyncResponse:
        """Send a sync and return the server's answer, over NATS within 5 s. Raise UnreachableError or RefusedError."""
        ...

    async def close(self) -> None:
        """Close the connection at once. The agent repeats unanswered syncs over the other carrier."""
        ...
