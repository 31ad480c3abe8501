"""The fake as an ASGI server: the API, the pages, and webhooks to the site."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx

from marketplace.local.fake_stripe.api import FakeStripe
from marketplace.local.fake_stripe.pages import Page, Pages
from marketplace.local.fake_stripe.payee_pages import PATHS, PayeePages
from marketplace.local.fake_stripe.webhooks import Delivery, signature

logger = logging.getLogger("fake_stripe")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
BODY_MAX_BYTES = 1_000_000
POLL_S = 0.2  # how often the queue of deliveries is read


class Server:
    """An ASGI application. `webhook_url` is called before each delivery: the site may not be listening yet (None)."""

    def __init__(self, fake: FakeStripe, *, secret: str, webhook_url: Callable[[], str | None]) -> None:
        self.fake, self.secret, self.webhook_url = fake, secret, webhook_url
        self.pages, self.payee_pages = Pages(fake), PayeePages(fake)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        method, path, query = scope["method"], scope["path"], scope["query_string"].decode()
        body = await _body(receive)
        if path.startswith(("/v1/", "/v2/")):
            headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
            answer = self.fake.handle(method, f"{path}?{query}", headers, body.decode())
            await _respond(send, answer.status, answer.body, dict(answer.headers))
            return
        pages = self.payee_pages if path.startswith(PATHS) else self.pages
        page: Page = pages.show(method, path, dict(parse_qsl(body.decode())))
        await _respond(send, page.status, page.body, page.headers)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        delivery_task = asyncio.create_task(self.deliver_forever())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        delivery_task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await delivery_task
        await send({"type": "lifespan.shutdown.complete"})

    async def deliver_forever(self) -> None:
        """Send due deliveries in the order of their due times. A failed delivery is retried later."""
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            while True:
                url = self.webhook_url()
                with self.fake.lock:
                    due = self.fake.emitter.deliveries.due(time.time()) if url else []
                for delivery in due:
                    ok = await self._deliver(client, str(url), delivery)
                    with self.fake.lock:
                        self.fake.emitter.deliveries.ended(delivery, ok=ok, now=time.time())
                await asyncio.sleep(POLL_S)

    async def _deliver(self, client: httpx.AsyncClient, url: str, delivery: Delivery) -> bool:
        header = signature(delivery.body, self.secret, at=int(time.time()))
        headers = {"Content-Type": "application/json", "Stripe-Signature": header}
        try:
            answer = await client.post(url, content=delivery.body, headers=headers)
        except httpx.HTTPError as error:
            logger.info("webhook %s: %s", delivery.seq, error)
            return False
        return answer.is_success


def webhook_url_from(port_file: Path) -> Callable[[], str | None]:
    """Return a function that reads the webhook's URL from a file with the site's port, or None if it is missing."""

    def read_url() -> str | None:
        try:
            return f"http://127.0.0.1:{int(port_file.read_text())}/stripe/webhook"
        except (FileNotFoundError, ValueError):
            return None

    return read_url


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= BODY_MAX_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _respond(send: Send, status: int, text: str, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": text.encode()})
