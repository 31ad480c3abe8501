"""Choose the carrier of each sync: NATS when it answers, else HTTPS, while trying to connect to NATS again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from compute.agent.carriers.carrier import Carrier
from compute.agent.carriers.nats import NatsCarrier
from compute.agent.state.backoff import Backoff
from compute.agent.state.errors import AgentError, RefusedError, UnreachableError
from compute.protocol import Credentials, SyncRequest, SyncResponse

log = logging.getLogger(__name__)
WATCHDOG_S = 30.0
_REFUSED_PAUSE_S = 60.0
_MIN_RENEWAL_S = 5.0
Connect = Callable[[Credentials], Awaitable[NatsCarrier]]
Exchange = tuple[SyncRequest, SyncResponse]


class Link:
    """Both carriers behind one `request`.

    Run `maintain` as a task; it calls ``on_connected`` when NATS is connected.
    """

    def __init__(
        self,
        *,
        https: Carrier,
        credentials: Callable[[], Awaitable[Credentials]],
        connect: Connect,
        on_connected: Callable[[], None],
    ) -> None:
        self.answered_by = "none"
        self._https = https
        self._credentials = credentials
        self._connect = connect
        self._on_connected = on_connected
        self._nats: NatsCarrier | None = None
        self._renew_at = 0.0
        self._unanswered_since = 0.0
        self._changed = asyncio.Event()
        self._asking = asyncio.Lock()
        self._last_warning = ""

    async def request(self, build: Callable[[], SyncRequest]) -> Exchange:
        """Return (request, answer). ``build`` makes a new request for each carrier that is tried, NATS first.

        Raise RefusedError or UnreachableError when neither carrier answered.
        """
        try:
            answered = await self._over_nats(build) or await self._over(self._https, build)
        except AgentError:
            self.answered_by = "none"
            raise
        return answered

    def retry_nats(self) -> None:
        """Ask for NATS credentials again now, for instance because consent was given."""
        self._changed.set()

    async def maintain(self) -> None:
        """Keep a NATS connection with fresh credentials until cancelled."""
        backoff = Backoff(base_s=1.0)
        while True:
            self._changed.clear()
            pause = await self._renew(backoff) if self._needs_connection() else self._renew_at - time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.05, min(pause, WATCHDOG_S))):
                    await self._changed.wait()

    async def close(self) -> None:
        await self._drop_nats()
        await self._https.close()

    def _needs_connection(self) -> bool:
        now = time.monotonic()
        if self._nats is None or not self._nats.is_connected or now >= self._renew_at:
            return True
        return bool(self._unanswered_since) and now - self._unanswered_since > WATCHDOG_S

    async def _renew(self, backoff: Backoff) -> float:
        """Open a new connection, then close the old one. Return the seconds until the next check."""
        if self._nats is not None and not self._nats.is_connected:
            await self._drop_nats()
        try:
            credentials = await self._credentials()
            fresh = await self._connect(credentials)
        except RefusedError as error:
            self._warn_once(f"NATS credentials are refused ({error.code}); staying on HTTPS.")
            await self._drop_nats()
            return _REFUSED_PAUSE_S
        except UnreachableError as error:
            self._warn_once(f"NATS cannot be reached ({error.message}); staying on HTTPS.")
            return backoff.next(at_least_s=error.retry_after_s)
        old, self._nats = self._nats, fresh
        backoff.reset()
        self._last_warning = ""
        self._unanswered_since = 0.0
        life_s = credentials.expires_unix_ms / 1000 - time.time()
        self._renew_at = time.monotonic() + max(_MIN_RENEWAL_S, 0.8 * life_s)
        log.info("Connected to NATS; credentials last %.0f s.", life_s)
        self._on_connected()
        if old is not None:
            async with self._asking:  # wait for an answer that may still arrive on the old connection
                await old.close()
        return self._renew_at - time.monotonic()

    async def _over_nats(self, build: Callable[[], SyncRequest]) -> Exchange | None:
        """Return (request, answer), or None if NATS gave no answer.

        A failed connection is closed. One on which nobody answers syncs is kept until the watchdog replaces it.
        """
        carrier = self._nats
        if carrier is None:
            return None
        try:
            async with self._asking:
                answered = await self._over(carrier, build)
        except UnreachableError as error:
            self._warn_once(f"{error.message} Using HTTPS.")
            self._unanswered_since = self._unanswered_since or time.monotonic()
            if error.code == "nats_failed" and carrier is self._nats:
                await self._drop_nats()
            return None
        self._unanswered_since = 0.0
        return answered

    async def _over(self, carrier: Carrier, build: Callable[[], SyncRequest]) -> Exchange:
        request = build()
        response = await carrier.request(request)
        if self.answered_by != carrier.name:
            log.info("Syncs are now answered over %s.", carrier.name.upper())
        self.answered_by = carrier.name
        return request, response

    async def _drop_nats(self) -> None:
        old, self._nats = self._nats, None
        if old is not None:
            await old.close()
            self._changed.set()

    def _warn_once(self, text: str) -> None:
        """Log a warning once, not again at every retry."""
        if text != self._last_warning:
            log.warning("%s", text)
            self._last_warning = text
