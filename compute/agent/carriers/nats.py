"""`sync` over NATS request-reply, and the server's pushes. One object is one connection: no reconnecting.

nats-py's own reconnecting is off: it has lost subscriptions and hung (nats.py issues 510, 544, 962), so a
lost connection is thrown away whole and the link makes a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import nats
import nats.errors
from nats.aio.client import Client

from compute import protocol
from compute.agent.carriers.carrier import REQUEST_TIMEOUT_S, OnPush
from compute.agent.state.errors import UnreachableError
from compute.agent.state.identity import Identity
from compute.agent.state.usage import Traffic
from compute.protocol import Credentials, SyncRequest, SyncResponse

log = logging.getLogger(__name__)
_CONNECT_S = 8.0
_CLOSE_S = 1.0
_FRAME_BYTES = 160  # both subjects, with a node's id in each, and the command around them
# nats-py raises its own errors, the socket's, and asyncio's.
_FAILURES = (nats.errors.Error, OSError, asyncio.TimeoutError)


class NatsCarrier:
    name = "nats"

    def __init__(self, client: Any, node: str, traffic: Traffic) -> None:
        self._client = client
        self._subject = protocol.sync_subject(node)
        self._traffic = traffic
        self.closed = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        return bool(self._client.is_connected)

    async def request(self, message: SyncRequest) -> SyncResponse:
        try:
            data = protocol.pack(message)
            self._traffic.add(sent=len(data) + _FRAME_BYTES)
            answer = await self._ask(data)
            self._traffic.add(received=len(answer) + _FRAME_BYTES)
            return protocol.unpack_response(answer)
        except nats.errors.NoRespondersError as error:
            raise UnreachableError("no_responders", "NATS is up, but nobody answers syncs there.") from error
        except _FAILURES as error:
            raise UnreachableError("nats_failed", f"NATS: {type(error).__name__} {error}".strip()) from error
        except msgspec.DecodeError as error:
            raise UnreachableError("malformed_answer", f"The server's answer cannot be read: {error}") from error

    async def _ask(self, data: bytes) -> bytes:
        """nats-py would wait out its timeout for an answer that cannot come any more when the connection is closed."""
        asked = asyncio.create_task(self._client.request(self._subject, data, timeout=REQUEST_TIMEOUT_S))
        closed = asyncio.create_task(self.closed.wait())
        try:
            await asyncio.wait((asked, closed), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise nats.errors.ConnectionClosedError
            return bytes((await asked).data)
        finally:
            asked.cancel()
            closed.cancel()

    async def close(self) -> None:
        # A connection that is being thrown away may fail in any way; never drain it, since that can hang.
        with contextlib.suppress(*_FAILURES):
            async with asyncio.timeout(_CLOSE_S):
                await self._client.close()


async def connect_nats(
    *,
    node: str,
    identity: Identity,
    credentials: Credentials,
    on_push: OnPush,
    on_revoked: Callable[[], None],
    traffic: Traffic,
) -> NatsCarrier:
    """Connect with the node's own key, and listen to its commands. Raises UnreachableError.

    ``on_revoked`` is called when the server cuts the connection because the node may not have one any more.
    """
    client = Client()
    carrier = NatsCarrier(client, node, traffic)

    async def closed() -> None:
        carrier.closed.set()
        # A cancel that came with it may be lost: nats-py drops what it has not handed on. So ask, now.
        if "revoked" in str(client.last_error).lower():
            on_revoked()

    try:
        async with asyncio.timeout(_CONNECT_S):
            await client.connect(
                servers=list(credentials.urls),
                name=f"driveway-agent {node}",
                user_jwt_cb=credentials.jwt.encode,
                signature_cb=identity.sign_nats_nonce,
                inbox_prefix=protocol.inbox_prefix(node),
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                ping_interval=15,
                max_outstanding_pings=2,
                error_cb=_log_error,
                closed_cb=closed,
            )
            await client.subscribe(protocol.command_subject(node), cb=_push_handler(on_push, traffic))
            await client.flush()
    except _FAILURES as error:
        await carrier.close()
        raise UnreachableError("nats_failed", f"NATS: {type(error).__name__} {error}".strip()) from error
    return carrier


def _push_handler(on_push: OnPush, traffic: Traffic) -> Any:
    async def handle(message: Any) -> None:
        traffic.add(received=len(message.data) + _FRAME_BYTES)
        try:
            push = protocol.unpack_push(message.data)
        except msgspec.DecodeError as error:
            log.warning("A push cannot be read and is ignored: %s", error)
            return
        on_push(push)

    return handle


async def _log_error(error: Exception) -> None:
    log.info("NATS: %s %s", type(error).__name__, error)
