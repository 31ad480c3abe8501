"""Blobs are complete or absent, and are found only by their own digest."""

import hashlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute import blobs
from compute.blobs import TooLarge
from core.errors import InvalidInput, NotFound


@pytest.fixture
def root(settings) -> Path:
    return Path(settings.BLOB_ROOT)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=3000))
def test_what_is_put_is_read_back_by_its_digest(data):
    blob = blobs.put_bytes(data)
    assert blob == blobs.Blob(hashlib.sha256(data).hexdigest(), len(data))
    assert blobs.exists(blob.sha256)
    assert blobs.read(blob.sha256) == b"".join(blobs.chunks_of(blob.sha256)) == data


def test_the_same_bytes_are_stored_once(root):
    first, second = blobs.put_bytes(b"same"), blobs.put_stream(io.BytesIO(b"same"), limit_bytes=4)
    assert first == second
    assert len(files(root)) == 1


def test_a_stream_in_many_chunks_is_one_blob():
    data = os.urandom(2 * blobs.CHUNK_BYTES + 17)
    blob = blobs.put_stream(io.BytesIO(data), limit_bytes=len(data))
    assert (blob.sha256, blob.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert [len(chunk) for chunk in blobs.chunks_of(blob.sha256)] == [blobs.CHUNK_BYTES, blobs.CHUNK_BYTES, 17]


def test_too_much_leaves_nothing(root):
    with pytest.raises(TooLarge) as caught:
        blobs.put_stream(io.BytesIO(b"12345"), limit_bytes=4)
    assert (caught.value.code, caught.value.status, caught.value.fields) == ("too_large", 413, {"limit_bytes": 4})
    assert files(root) == []


def test_an_endless_stream_is_cut_off_early():
    read = []

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            read.append(size)
            return b"x" * size

    with pytest.raises(TooLarge):
        blobs.put_stream(Endless(), limit_bytes=3 * blobs.CHUNK_BYTES)
    assert len(read) == 4


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_a_crash_while_writing_leaves_nothing(root, error):
    def chunks():
        yield b"some"
        raise error

    with pytest.raises(type(error)):
        blobs.put_chunks(chunks(), limit_bytes=100)
    assert files(root) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_before_the_rename_leaves_nothing(root, step, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(blobs.os, step, fail)
        with pytest.raises(OSError, match="disk full"):
            blobs.put_bytes(b"data")
    assert files(root) == []
    assert blobs.put_bytes(b"data").size_bytes == 4


def test_the_bytes_are_on_disk_before_the_name(monkeypatch):
    steps = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(blobs.os, "fsync", lambda fd: steps.append("fsync") or real_fsync(fd))
    monkeypatch.setattr(blobs.os, "replace", lambda *names: steps.append("replace") or real_replace(*names))
    blobs.put_bytes(b"data")
    assert steps == ["fsync", "replace"]


HOSTILE = [
    "",
    "..",
    "0" * 63,
    "0" * 65,
    "F" * 64,
    "g" * 64,
    "../" * 21 + "a",
    "/etc/passwd",
    "0" * 62 + "\n0",
    "٠" * 64,
    "0" * 63 + "\0",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("ask", [blobs.path_of, blobs.exists, blobs.read, blobs.open_blob])
def test_anything_but_a_digest_is_refused(ask, name):
    with pytest.raises(InvalidInput) as caught:
        ask(name)
    assert caught.value.code == "digest_invalid"


def test_a_blob_that_is_not_there_is_not_found():
    assert not blobs.exists("0" * 64)
    for ask in (blobs.read, blobs.open_blob, lambda name: list(blobs.chunks_of(name))):
        with pytest.raises(NotFound):
            ask("0" * 64)


def test_blobs_lie_in_two_levels_of_folders(root):
    blob = blobs.put_bytes(b"x")
    assert blobs.path_of(blob.sha256).relative_to(root).parts == (blob.sha256[:2], blob.sha256[2:4], blob.sha256)
    assert [path.name for path in files(root)] == [blob.sha256]
