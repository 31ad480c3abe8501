"""Content-addressed bytes: models, unit inputs, results. A blob's name is its SHA-256, so a stored one never changes."""

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
    sha256: str
    size_bytes: int


def path_of(sha256: str) -> Path:
    """Where a blob lies. Raises InvalidInput for anything but 64 lower-case hex digits."""
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise InvalidInput("A digest is 64 lower-case hex digits.", code="digest_invalid")
    return Path(settings.BLOB_ROOT) / sha256[:2] / sha256[2:4] / sha256


def stored() -> Iterator[Path]:
    """Yield each blob's file, those on their way in first: one that arrives meanwhile is then found in its place."""
    root = Path(settings.BLOB_ROOT)
    yield from root.glob("incoming-*")
    yield from root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")


def exists(sha256: str) -> bool:
    return path_of(sha256).exists()


def put_bytes(data: bytes) -> Blob:
    return put_chunks([data], limit_bytes=len(data))


def put_stream(stream: BinaryIO, *, limit_bytes: int) -> Blob:
    """Store a stream, hashing as it comes. Raises TooLarge as soon as the limit is passed."""
    return put_chunks(iter(lambda: stream.read(CHUNK_BYTES), b""), limit_bytes=limit_bytes)


def put_chunks(chunks: Iterable[bytes], *, limit_bytes: int) -> Blob:
    """Write beside the target, fsync, rename: a blob is whole or absent, whatever dies."""
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
    """Raises NotFound."""
    try:
        return path_of(sha256).open("rb")
    except FileNotFoundError as error:
        raise NotFound("No such blob.", sha256=sha256) from error


def read(sha256: str) -> bytes:
    with open_blob(sha256) as file:
        return file.read()


def chunks_of(sha256: str) -> Iterator[bytes]:
    with open_blob(sha256) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
