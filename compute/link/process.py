"""The asyncio process between NATS and PostgreSQL."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import nats
import psycopg
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone
from nats.aio.client import Client
from nats.aio.msg import Msg

from compute import protocol
from compute.cancellation import cancel_all
from compute.link import outbound_messages
from compute.link.batcher import Batcher
from compute.nats.jwt import Credentials, claims_accepted, claims_update
from compute.nats.trust import trust_chain
from compute.sync import sync
from core.db import atomic_retrying

logger = logging.getLogger(__name__)

CHANNEL = "driveway_link"
SWEEP_S = 1.0  # the rows are read this often even without a notification
AGAIN_S = 1.0  # after a failure
USER_LIFETIME = timedelta(days=365)
HANDLERS = 2  # batches that are written at the same time


class Link:
    """One copy of the link. `run` ends after `stop`, SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(HANDLERS + 1, thread_name_prefix="link")
        self._batcher = Batcher(self._handle)
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._revoked: dict[str, int] | None = None

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Serve until stopped. Raise SystemExit if NATS is not configured, and the error of any task that fails."""
        chain = trust_chain()
        if chain is None or not settings.NATS_URL:
            raise SystemExit("The vehicle link is not configured: set NATS_URL and NATS_TRUST_FILE (or NATS_*_SEED).")
        expires_at = timezone.now() + USER_LIFETIME
        user = chain.credentials(name="link", expires_at=expires_at, publish=[">"], subscribe=[">"])
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with connect(user) as client, connect(chain.system_credentials(expires_at=expires_at)) as system:
            self._client, self._system = client, system
            await client.subscribe("node.*.sync", queue="link", cb=self._receive)
            logger.info("link is up")
            tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self._batcher.run()) for _ in range(HANDLERS)]
            tasks += [asyncio.create_task(self._listen()), asyncio.create_task(self._sweep())]
            stopped: asyncio.Task[Any] = asyncio.create_task(self._stopping.wait())
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            await cancel_all(tasks)
            for task in done - {stopped}:
                task.result()  # a task that ended by itself has failed: raise its error

    async def _receive(self, message: Msg) -> None:
        """Queue a sync from NATS. The NATS server lets only this node publish on its subject."""
        node = message.subject.split(".")[1]
        if not message.reply.startswith(f"{protocol.inbox_prefix(node)}."):
            return  # otherwise a node could have our answer published on another node's subject, as if it came from us
        try:
            request = protocol.unpack_request(message.data)
        except msgspec.DecodeError as error:
            await _reply(message, protocol.SyncResponse(seq=0, error="malformed", message=str(error)[:200]))
            return
        if request.node != node:
            await _reply(message, protocol.SyncResponse(seq=request.seq, error="foreign_node"))
            return
        self._batcher.put(request, message.respond)

    async def _handle(self, requests: Sequence[protocol.SyncRequest]) -> list[protocol.SyncResponse]:
        answers: list[protocol.SyncResponse] = await self._in_thread(_handle_syncs, requests)
        return answers

    async def _listen(self) -> None:
        """Wake the sweep on PostgreSQL notifications: dispatch made leases, or a consent or a node changed."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(**_database(), autocommit=True) as listener:
                    await listener.execute(f"LISTEN {CHANNEL}")
                    self._wake.set()  # something may have happened before we listened
                    async for _ in listener.notifies():
                        self._wake.set()
            except psycopg.OperationalError as error:
                logger.warning("lost the notification channel (%s), reading rows every second meanwhile", error)
                await asyncio.sleep(AGAIN_S)

    async def _sweep(self) -> None:
        """Send what waits in the rows, at each wake-up and once a second."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                # Cancels are sent before the revocation, so that a node learns the reason before its connection is cut.
                # They are read after it: then the cancels of every node in `revoked` are among the pushes, even if its
                # consent ended a moment ago.
                revoked = await self._in_thread(outbound_messages.revocations)
                for subject, data in await self._in_thread(outbound_messages.take_pushes):
                    await self._client.publish(subject, data)
                await self._client.flush()
                await self._revoke(revoked)
            except (TimeoutError, OperationalError, psycopg.Error, nats.errors.Error, OSError) as error:
                logger.warning("sweep failed, trying again: %s", error)
                await asyncio.sleep(AGAIN_S)
                self._wake.set()

    async def _revoke(self, revoked: dict[str, int]) -> None:
        """Send the revocations to the NATS servers, which close those nodes' connections at once."""
        chain = trust_chain()
        if chain is None or revoked == self._revoked:
            return
        subject, payload = claims_update(chain.account_jwt(revocations=revoked))
        answer = await self._system.request(subject, payload, timeout=5)
        if claims_accepted(answer.data):
            self._revoked = revoked
        else:
            logger.error("NATS refused the revocations: %s", answer.data[:200])

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _with_connection, work, *arguments)


def _with_connection(work: Any, *arguments: Any) -> Any:
    """Run `work` in a pool thread, then return the database connection to its pool."""
    try:
        return work(*arguments)
    finally:
        connection.close()


@atomic_retrying
def _handle_syncs(requests: Sequence[protocol.SyncRequest]) -> list[protocol.SyncResponse]:
    return sync.handle(requests, carrier="nats")


@contextlib.asynccontextmanager
async def connect(user: Credentials) -> AsyncIterator[Client]:
    """Hold a NATS connection that reconnects for ever."""

    async def on_error(error: Exception) -> None:
        logger.warning("NATS: %s", error)

    client = await nats.connect(
        settings.NATS_URL,
        **user.connect_options(),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.5,
        error_cb=on_error,
        allow_reconnect=True,
    )
    try:
        yield client
    finally:
        await client.close()


async def _reply(message: Msg, response: protocol.SyncResponse) -> None:
    await message.respond(protocol.pack(response))


def _database() -> dict[str, Any]:
    """Return the connection parameters of the database for psycopg, without those that Django adds."""
    wanted = ("dbname", "user", "password", "host", "port", "sslmode", "sslrootcert")
    return {name: value for name, value in connection.get_connection_params().items() if name in wanted}
