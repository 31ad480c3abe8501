"""Responses that download a file, for an ASGI process.

Threads read the chunks, so the event loop never waits for a disk.
"""

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse

CHUNK_BYTES = 1024 * 1024


def file_response(
    path: Path, *, filename: str, content_type: str = "application/octet-stream"
) -> StreamingHttpResponse:
    """Return a response that downloads the file at `path`, which must exist, in chunks of CHUNK_BYTES."""

    async def chunks() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            read = sync_to_async(file.read, thread_sensitive=False)
            while chunk := await read(CHUNK_BYTES):
                yield chunk

    length = {"Content-Length": str(path.stat().st_size)}
    return StreamingHttpResponse(chunks(), content_type=content_type, headers=_as_download(filename) | length)


def streamed_response(parts: Iterator[bytes], *, filename: str, content_type: str) -> StreamingHttpResponse:
    """Return a response that downloads parts generated while they are sent.

    All parts are generated in the request's own thread, so they may share a database cursor. An empty part ends the
    download. A generator is closed in any case.
    """

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while chunk := await sync_to_async(lambda: next(parts, b""), thread_sensitive=True)():
                yield chunk
        finally:
            if isinstance(parts, Generator):
                await sync_to_async(parts.close, thread_sensitive=True)()

    return StreamingHttpResponse(chunks(), content_type=content_type, headers=_as_download(filename))


def download(body: bytes | str, *, filename: str, content_type: str) -> HttpResponse:
    """Return a response that downloads a small body held in memory."""
    return HttpResponse(body, content_type=content_type, headers=_as_download(filename))


def _as_download(filename: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{filename}"', "X-Content-Type-Options": "nosniff"}
