"""Models, inputs and results: download by digest into a bounded cache, verify the hash on every read, upload."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from compute import protocol
from compute.agent.carriers.client import NodeHttp
from compute.agent.state.backoff import Backoff
from compute.agent.state.errors import AgentError, UnreachableError

log = logging.getLogger(__name__)
DEFAULT_CACHE_BYTES = 1 << 30
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".part"


class BlobError(AgentError):
    """A blob that does not match its lease. Codes: blob_size, blob_corrupt, digest_invalid."""


class BlobCache:
    """Files named by the SHA-256 of their content. Beyond ``limit_bytes`` the least recently used are deleted."""

    def __init__(self, folder: Path, *, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._limit_bytes = limit_bytes
        for partial in folder.glob(f"*{_PARTIAL}"):
            partial.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        """Return the path of a blob. Raise BlobError (digest_invalid), so that no name can point outside the folder."""
        if not _SHA256.fullmatch(sha256):
            raise BlobError("digest_invalid", "A digest must be 64 lower-case hexadecimal digits.")
        return self._folder / sha256

    def read(self, sha256: str) -> bytes | None:
        """Return the content after verifying its hash; None if it is absent, or corrupt (then it is deleted)."""
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() != sha256:
            log.warning("A cached blob is corrupt and is downloaded again: %s", sha256)
            path.unlink(missing_ok=True)
            return None
        os.utime(path)
        return data

    def discard(self, sha256: str) -> None:
        self.path(sha256).unlink(missing_ok=True)

    def trim(self, *, keep: str = "") -> None:
        """Delete the least recently used blobs beyond the limit, but never ``keep``."""
        entries = [(entry.stat(), Path(entry.path)) for entry in os.scandir(self._folder)]
        total = sum(stat.st_size for stat, _ in entries)
        for stat, path in sorted(entries, key=lambda entry: entry[0].st_mtime_ns):
            if total <= self._limit_bytes:
                return
            if path.name != keep and path.suffix != _PARTIAL:
                path.unlink(missing_ok=True)
                total -= stat.st_size


class Blobs:
    """Access of one node to the marketplace's blobs."""

    def __init__(self, http: NodeHttp, cache: BlobCache) -> None:
        self.cache = cache
        self._http = http
        self._fetching: dict[str, asyncio.Lock] = {}

    async def get(self, sha256: str, *, size_bytes: int, grant: str, within_s: float) -> bytes:
        """Return the blob from the cache or the server, retrying for ``within_s`` seconds.

        ``grant`` is the permission that came with the lease. Raise BlobError, RefusedError or UnreachableError.
        """
        lock = self._fetching.setdefault(sha256, asyncio.Lock())
        async with lock:
            try:
                data = await asyncio.to_thread(self.cache.read, sha256)
                while data is None:
                    await self._fetch(sha256, size_bytes, grant, within_s)
                    data = await asyncio.to_thread(self.cache.read, sha256)
            finally:
                self._fetching.pop(sha256, None)
        if len(data) != size_bytes:
            raise BlobError("blob_size", f"Blob {sha256} has {len(data)} bytes, the lease says {size_bytes}.")
        return data

    async def put_result(self, attempt: int, fence: int, result: bytes, *, within_s: float) -> None:
        """Upload a result file. Raise RefusedError (for instance for a stale fence) or UnreachableError."""
        await self._http.send_with_retries(
            "PUT",
            f"/api/node/v1/attempts/{attempt}/result",
            body=result,
            headers={protocol.FENCE_HEADER: str(fence), "Content-Type": "application/octet-stream"},
            within_s=within_s,
        )

    async def _fetch(self, sha256: str, size_bytes: int, grant: str, within_s: float) -> None:
        backoff, deadline = Backoff(), time.monotonic() + within_s
        while True:
            try:
                await self._download(sha256, size_bytes, grant)
            except UnreachableError as error:
                pause = backoff.next(at_least_s=error.retry_after_s)
                if time.monotonic() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)
            else:
                self.cache.trim(keep=sha256)
                return

    async def _download(self, sha256: str, size_bytes: int, grant: str) -> None:
        """Stream one blob to disk while hashing it.

        Raise BlobError as soon as it is too long, or if it is not the one.
        """
        path = self.cache.path(sha256)
        partial = path.with_name(f"{sha256}.{secrets.token_hex(4)}{_PARTIAL}")
        headers: Mapping[str, str] = {protocol.GRANT_HEADER: grant}
        try:
            async with self._http.stream("GET", f"/api/node/v1/blobs/{sha256}", headers=headers) as response:
                digest, received_bytes = hashlib.sha256(), 0
                with partial.open("wb") as file:
                    async for chunk in response.aiter_bytes(1 << 16):
                        received_bytes += len(chunk)
                        if received_bytes > size_bytes:
                            break
                        digest.update(chunk)
                        file.write(chunk)
            if received_bytes != size_bytes:
                raise BlobError("blob_size", f"Blob {sha256} does not have the {size_bytes} bytes of the lease.")
            if digest.hexdigest() != sha256:
                raise BlobError("blob_corrupt", f"The bytes received for blob {sha256} have another digest.")
            partial.replace(path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
