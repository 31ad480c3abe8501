"""`sync` over NATS request-reply, and the server's pushes. A carrier is one connection and never reconnects.

The reconnection of nats-py is off, because it has lost subscriptions and hung (nats.py issues 510, 544, 962). When a
connection is lost, the link discards its carrier and makes a new one.
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
_FRAME_BYTES = 160  # about what NATS adds to a message: its command and two subjects with a node's id
# nats-py lets errors of the socket and of asyncio through, beside its own.
_FAILURES = (nats.errors.Error, OSError, asyncio.TimeoutError)


class NatsCarrier:
    """The carrier over one NATS connection. `closed` is set when the connection has ended."""

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
            raise UnreachableError("no_responders", "NATS is up, but no server answers syncs there.") from error
        except _FAILURES as error:
            raise UnreachableError("nats_failed", f"NATS: {type(error).__name__} {error}".strip()) from error
        except msgspec.DecodeError as error:
            raise UnreachableError("malformed_answer", f"The server's answer cannot be read: {error}") from error

    async def _ask(self, data: bytes) -> bytes:
        """Return the answer's bytes. Fail at once when the connection closes: nats-py would wait for its timeout."""
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
        # Errors do not matter here, since the connection is being discarded. Never drain it: that can hang.
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
    """Connect with the node's own key and subscribe to its commands. Raise UnreachableError.

    ``on_revoked`` is called when the server closes the connection because the node's credentials were revoked.
    """
    client = Client()
    carrier = NatsCarrier(client, node, traffic)

    async def on_closed() -> None:
        carrier.closed.set()
        # nats-py drops messages that it has not delivered yet, so a cancel may be lost. A sync over HTTPS brings it.
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
                closed_cb=on_closed,
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
            log.warning("A push message cannot be decoded and is ignored: %s", error)
            return
        on_push(push)

    return handle


async def _log_error(error: Exception) -> None:
    log.info("NATS: %s %s", type(error).__name__, error)
