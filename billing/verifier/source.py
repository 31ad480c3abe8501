"""Read the files of a package, from a zip or a folder.

A package is treated as hostile: nothing is unpacked to disk, no large file is held in memory, and anything that the
platform would not write is refused with a code.
"""

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from billing.verifier.errors import Unreadable
from billing.verifier.format import FILES, OCMF_RECORDS, RECORDS, VOIDS

SMALL_MAX_BYTES = 64 * 1024**2  # the largest is the manifest: some hundred bytes for each transfer of a month
LARGE_MAX_BYTES = 8 * 1024**3
LARGE = (RECORDS, VOIDS, OCMF_RECORDS)
LINE_MAX_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024
# Signed records compress to about a half; a ratio of a thousand is a zip bomb.
RATIO_MAX, RATIO_FREE_BYTES = 100, 1024**2
DIRECTORY_MAX_BYTES = 64 * 1024
END_BYTES, END_MAGIC, END64_MAGIC = 22, b"PK\x05\x06", b"PK\x06\x07"
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    struct.error,
    KeyError,
    IndexError,
)


@dataclass(frozen=True)
class Digest:
    """Hash and size of a file that was read to its end."""

    sha256: str
    size_bytes: int


class Source:
    """The files of a package. Use it as a context manager."""

    def names(self) -> set[str]:
        """Return the names of the files that are there."""
        raise NotImplementedError

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open a file. Raises Unreadable `file_missing`."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what was opened."""

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str) -> bytes:
        """Return the content of a small file. Raises Unreadable."""
        return b"".join(self.chunks(name, hashlib.sha256()))

    def lines(self, name: str, found: "list[Digest]") -> Iterator[bytes]:
        """Yield each line without its end, and at last append the file's digest to `found`.

        Raises Unreadable (`line_too_long`, `cut_short`).
        """
        digest, rest, size = hashlib.sha256(), b"", 0
        for chunk in self.chunks(name, digest):
            size += len(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_MAX_BYTES or any(len(line) > LINE_MAX_BYTES for line in whole):
                raise Unreadable("line_too_long", f"A line of {name} is longer than any that the platform writes.")
            yield from whole
        if rest:
            raise Unreadable("cut_short", f"{name} does not end with the end of a line.")
        found.append(Digest(digest.hexdigest(), size))

    def digest(self, name: str) -> Digest:
        """Return the digest of a file. Raises Unreadable."""
        digest, size = hashlib.sha256(), 0
        for chunk in self.chunks(name, digest):
            size += len(chunk)
        return Digest(digest.hexdigest(), size)

    def chunks(self, name: str, digest: "hashlib._Hash") -> Iterator[bytes]:
        """Yield a file in chunks and add each to `digest`.

        Raises Unreadable (`file_missing`, `too_large`, `damaged`).
        """
        limit = LARGE_MAX_BYTES if name in LARGE else SMALL_MAX_BYTES
        size = 0
        try:
            with self.open(name) as file:
                while chunk := file.read(CHUNK_BYTES):
                    size += len(chunk)
                    if size > limit:
                        raise Unreadable("too_large", f"{name} is larger than any that the platform writes.")
                    digest.update(chunk)
                    yield chunk
        except ZIP_ERRORS as error:
            raise Unreadable("damaged", f"{name} cannot be read: {error}.") from error


class Zip(Source):
    """A package as a zip file."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise Unreadable("no_file", f"{path} cannot be read: {error.strerror}.") from error
        try:
            _check_end(self._file)
            self._zip = zipfile.ZipFile(self._file)
            self._infos = _checked(self._zip.infolist())
        except ZIP_ERRORS as error:
            self._file.close()
            raise Unreadable("not_a_zip", f"{path.name} is not a readable zip file: {error}.") from error
        except Unreadable:
            self._file.close()
            raise

    def names(self) -> set[str]:
        return set(self._infos)

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        if name not in self._infos:
            raise Unreadable("file_missing", f"{name} is missing.")
        return self._zip.open(self._infos[name])

    def close(self) -> None:
        self._zip.close()
        self._file.close()


class Folder(Source):
    """An unpacked package. Only files with known names are read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> set[str]:
        return {name for name in FILES if os.path.lexists(self._path / name)}

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        path = self._path / name
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise Unreadable("not_a_file", f"{name} is not a plain file.")
            return path.open("rb")
        except FileNotFoundError as error:
            raise Unreadable("file_missing", f"{name} is missing.") from error


def open_source(path: Path) -> Source:
    """Open a folder or a zip file as a package. Raises Unreadable for anything that the platform would not write."""
    return Folder(path) if path.is_dir() else Zip(path)


def _check_end(file: IO[bytes]) -> None:
    """Check that the zip's directory is small before zipfile reads it, since a large one would fill the memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END_BYTES - 20))
    tail = file.read()
    end = tail[-END_BYTES:]
    if len(end) < END_BYTES or not end.startswith(END_MAGIC):
        raise Unreadable("not_a_zip", "This is not a zip file, or it has extra bytes behind its end.")
    if len(tail) == END_BYTES + 20 and tail.startswith(END64_MAGIC):
        raise Unreadable("too_large", "A package is smaller than 4 GiB.")
    count, directory_bytes = struct.unpack("<HI", end[10:16])
    if count > len(FILES) or directory_bytes > DIRECTORY_MAX_BYTES:
        raise Unreadable(
            "too_many_files", f"A package has {len(FILES)} files; this zip claims {count} in its directory."
        )


def _checked(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the zip's files by name. Raises Unreadable for unknown, repeated, encrypted or too large ones."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        if name not in FILES:
            raise Unreadable("file_unknown", f"{name[:80]!r} is not a file of a package.")
        if name in found:
            raise Unreadable("file_twice", f"{name} is in the zip twice.")
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable(
                "not_a_zip", f"{name} is encrypted, or compressed in a way that the platform does not use."
            )
        limit = LARGE_MAX_BYTES if name in LARGE else SMALL_MAX_BYTES
        if info.file_size > min(limit, RATIO_FREE_BYTES + RATIO_MAX * info.compress_size):
            raise Unreadable("too_large", f"{name} would unpack to {info.file_size} bytes.")
        found[name] = info
    return found
