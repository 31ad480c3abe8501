"""Answering with a file from an ASGI process: chunks read in a thread, so that the event loop never waits for a disk."""

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse

CHUNK_BYTES = 1024 * 1024


def file_response(
    path: Path, *, filename: str, content_type: str = "application/octet-stream"
) -> StreamingHttpResponse:
    """The file as a download (attachment, nosniff). The path must exist."""

    async def chunks() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            read = sync_to_async(file.read, thread_sensitive=False)
            while chunk := await read(CHUNK_BYTES):
                yield chunk

    length = {"Content-Length": str(path.stat().st_size)}
    return StreamingHttpResponse(chunks(), content_type=content_type, headers=_as_download(filename) | length)


def streamed_response(parts: Iterator[bytes], *, filename: str, content_type: str) -> StreamingHttpResponse:
    """What is made while it is sent, as a download. All parts are made in the request's own thread: they may share a cursor."""

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while chunk := await sync_to_async(lambda: next(parts, b""), thread_sensitive=True)():
                yield chunk
        finally:
            if isinstance(parts, Generator):
                await sync_to_async(parts.close, thread_sensitive=True)()

    return StreamingHttpResponse(chunks(), content_type=content_type, headers=_as_download(filename))


def download(body: bytes | str, *, filename: str, content_type: str) -> HttpResponse:
    """What is small and in memory, as a download."""
    return HttpResponse(body, content_type=content_type, headers=_as_download(filename))


def _as_download(filename: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{filename}"', "X-Content-Type-Options": "nosniff"}
