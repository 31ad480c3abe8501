"""HTTPS client for the marketplace: it signs every request and raises the server's error codes as exceptions."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import ipaddress
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType

import httpx
import msgspec

from compute import protocol
from compute.agent.carriers.signing import sign_request
from compute.agent.state.backoff import Backoff
from compute.agent.state.errors import RefusedError, UnreachableError
from compute.agent.state.identity import Identity
from compute.agent.state.usage import Traffic
from compute.agent.state.version import AGENT_VERSION

_TIMEOUT = httpx.Timeout(10.0, connect=5.0, read=15.0)
_RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_ERROR_BYTES = 65536


class _ErrorDetail(msgspec.Struct):
    code: str = "refused"
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail


class NodeHttp:
    """A connection pool to one server that signs as ``keyid``. Use it as an async context manager."""

    def __init__(
        self,
        server: str,
        identity: Identity,
        *,
        keyid: str,
        transport: httpx.AsyncBaseTransport | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self._identity = identity
        self._keyid = keyid
        self._client = httpx.AsyncClient(
            base_url=server.rstrip("/"),
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=not _is_loopback(server),
            headers={"User-Agent": AGENT_VERSION},
            event_hooks=_counting(traffic) if traffic is not None else {},
        )

    async def __aenter__(self) -> NodeHttp:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(
        self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send the request once and return the complete answer. Raise RefusedError or UnreachableError."""
        async with self.stream(method, path, body=body, headers=headers) as response:
            await response.aread()
            return response

    async def send_with_retries(
        self,
        method: str,
        path: str,
        *,
        within_s: float,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call `send` and retry with back-off after UnreachableError, for ``within_s`` seconds in all."""
        backoff, deadline = Backoff(), time.monotonic() + within_s
        while True:
            try:
                return await self.send(method, path, body=body, headers=headers)
            except UnreachableError as error:
                pause = backoff.next(at_least_s=error.retry_after_s)
                if time.monotonic() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Send the request once and yield the answer with its body unread.

        Raise RefusedError or UnreachableError, also while the caller reads the body.
        """
        request = self._client.build_request(
            method, path, content=body, headers={"Content-Type": protocol.CONTENT_TYPE, **(headers or {})}
        )
        sign_request(request, key=self._identity.key, keyid=self._keyid, body=body)
        try:
            response = await self._client.send(request, stream=True)
            try:
                if not response.is_success:
                    raise await _failure(response)
                yield response
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            text = f"{method} {path}: {type(error).__name__} {error}".strip()
            raise UnreachableError("unreachable", text) from error


class _Counted(httpx.AsyncByteStream):
    """A body whose bytes are counted as they arrive, so that a long download counts while it runs."""

    def __init__(self, stream: httpx.AsyncByteStream, traffic: Traffic) -> None:
        self._stream, self._traffic = stream, traffic

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._traffic.add(received=len(chunk))
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _counting(traffic: Traffic) -> dict[str, list[Callable[..., Awaitable[None]]]]:
    """Return httpx event hooks that count the bytes of every request and answer, headers included."""

    async def count_sent(request: httpx.Request) -> None:
        body = int(request.headers.get("Content-Length", 0))
        traffic.add(sent=len(request.url.raw_path) + _head_bytes(request.headers) + body)

    async def count_received(response: httpx.Response) -> None:
        traffic.add(received=_head_bytes(response.headers))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Counted(response.stream, traffic)

    return {"request": [count_sent], "response": [count_received]}


def _head_bytes(headers: httpx.Headers) -> int:
    # Four bytes a header for ": " and the line end; about 20 for the rest of the first line.
    return sum(len(name) + len(value) + 4 for name, value in headers.raw) + 20


async def _failure(response: httpx.Response) -> RefusedError | UnreachableError:
    """Return the exception for an unsuccessful answer, with the code and message of its JSON error body."""
    detail = _ErrorDetail(code=f"http_{response.status_code}", message=response.reason_phrase)
    if int(response.headers.get("Content-Length", 0)) <= _MAX_ERROR_BYTES:
        # The body may be something else, for instance a proxy's page. Then the HTTP status is the code.
        with contextlib.suppress(msgspec.DecodeError):
            detail = msgspec.json.decode(await response.aread(), type=_ErrorBody).error
    if response.status_code in _RETRYABLE_STATUSES:
        pause = _retry_after(response.headers.get("Retry-After", ""))
        return UnreachableError(detail.code, detail.message, retry_after_s=pause)
    return RefusedError(detail.code, detail.message, status=response.status_code)


def _retry_after(value: str) -> float:
    """Return the seconds of a Retry-After header, which is a number or an HTTP date (RFC 9110 section 10.2.3)."""
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def _is_loopback(server: str) -> bool:
    """Return whether the server runs on this machine: then a proxy from the environment must not be used."""
    host = httpx.URL(server).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
