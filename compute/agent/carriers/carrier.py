"""What carries `sync`: one small interface, so that a third carrier (MQTT, say) would be one more file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from compute.protocol import Push, SyncRequest, SyncResponse

OnPush = Callable[[Push], None]
REQUEST_TIMEOUT_S = 5.0


class Carrier(Protocol):
    """`name` is "nats" or "https"."""

    name: str

    async def request(self, message: SyncRequest) -> SyncResponse:
        """The server's answer, within 5 s over NATS. Raises UnreachableError or RefusedError."""
        ...

    async def close(self) -> None:
        """Let go at once; what is unanswered is asked again elsewhere."""
        ...
