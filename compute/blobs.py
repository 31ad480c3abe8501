"""Content-addressed storage of models, inputs and results.

A blob's name is its SHA-256, so its content never changes.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from core.errors import DomainError, InvalidInput, NotFound

CHUNK_BYTES = 1024 * 1024


class TooLarge(DomainError):
    """The upload is larger than allowed."""

    code = "too_large"
    status = 413


@dataclass(frozen=True)
class Blob:
    """The digest and size of a stored blob."""

    sha256: str
    size_bytes: int


def path_of(sha256: str) -> Path:
    """Return the path of a blob. Raise InvalidInput `digest_invalid` for anything but 64 lower-case hex digits."""
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise InvalidInput("A digest is 64 lower-case hex digits.", code="digest_invalid")
    return Path(settings.BLOB_ROOT) / sha256[:2] / sha256[2:4] / sha256


def stored_files() -> Iterator[Path]:
    """Yield the file of each blob, incomplete uploads first.

    In this order an upload that completes meanwhile is still found, under its final name.
    """
    root = Path(settings.BLOB_ROOT)
    yield from root.glob("incoming-*")
    yield from root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")


def exists(sha256: str) -> bool:
    """Return whether the blob is stored. Raise as `path_of`."""
    return path_of(sha256).exists()


def put_bytes(data: bytes) -> Blob:
    """Store bytes. Storing the same bytes again changes nothing."""
    return put_chunks([data], limit_bytes=len(data))


def put_stream(stream: BinaryIO, *, limit_bytes: int) -> Blob:
    """Store a stream while hashing it. Raise TooLarge as soon as it exceeds the limit."""
    return put_chunks(iter(lambda: stream.read(CHUNK_BYTES), b""), limit_bytes=limit_bytes)


def put_chunks(chunks: Iterable[bytes], *, limit_bytes: int) -> Blob:
    """Store the chunks as one blob. Raise TooLarge as soon as they exceed the limit.

    They are written to a temporary file, synced and renamed, so after any crash a blob is complete or absent.
    """
    root = Path(settings.BLOB_ROOT)
    root.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    descriptor, name = tempfile.mkstemp(dir=root, prefix="incoming-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > limit_bytes:
                    raise TooLarge(f"The upload is larger than {limit_bytes} bytes.", limit_bytes=limit_bytes)
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        target = path_of(digest.hexdigest())
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Blob(digest.hexdigest(), size)


def open_blob(sha256: str) -> BinaryIO:
    """Open a blob for reading. Raise NotFound."""
    try:
        return path_of(sha256).open("rb")
    except FileNotFoundError as error:
        raise NotFound("No such blob.", sha256=sha256) from error


def read(sha256: str) -> bytes:
    """Return the content of a blob. Raise NotFound."""
    with open_blob(sha256) as file:
        return file.read()


def chunks_of(sha256: str) -> Iterator[bytes]:
    """Yield the content of a blob in chunks of at most 1 MiB. Raise NotFound."""
    with open_blob(sha256) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
