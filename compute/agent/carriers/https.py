"""`sync` over HTTPS by polling: the fallback, and the only carrier until the node has NATS credentials."""

from __future__ import annotations

import asyncio

import msgspec

from compute import protocol
from compute.agent.carriers.client import NodeHttp
from compute.agent.state.errors import UnreachableError
from compute.protocol import Credentials, SyncRequest, SyncResponse

SYNC_PATH = "/api/node/v1/sync"
_TIMEOUT_S = 10.0
CREDENTIALS_PATH = "/api/node/v1/credentials"


class HttpCarrier:
    """The carrier that sends each sync as one signed POST request."""

    name = "https"

    def __init__(self, http: NodeHttp) -> None:
        self._http = http

    async def request(self, message: SyncRequest) -> SyncResponse:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                answer = await self._http.send("POST", SYNC_PATH, body=protocol.pack(message))
        except TimeoutError as error:
            raise UnreachableError("timeout", f"No answer to a sync within {_TIMEOUT_S:.0f} s.") from error
        try:
            return protocol.unpack_response(answer.content)
        except msgspec.DecodeError as error:
            raise UnreachableError("malformed_answer", f"The server's answer cannot be read: {error}") from error

    async def close(self) -> None:
        """Do nothing: the connection pool belongs to the caller."""


async def fetch_credentials(http: NodeHttp) -> Credentials:
    """Ask for a short-lived NATS user JWT. Raise RefusedError (403: not allowed on NATS now) or UnreachableError."""
    answer = await http.send("POST", CREDENTIALS_PATH)
    try:
        return msgspec.msgpack.decode(answer.content, type=Credentials)
    except msgspec.DecodeError as error:
        raise UnreachableError("malformed_answer", f"The credentials cannot be read: {error}") from error
