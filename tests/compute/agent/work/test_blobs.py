"""Download by digest: what is cached, what is verified, and what is refused."""

import hashlib
import os

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.agent.carriers.client import NodeHttp
from compute.agent.state.backoff import Backoff
from compute.agent.state.errors import RefusedError, UnreachableError
from compute.agent.state.identity import Identity
from compute.agent.work.blobs import BlobCache, BlobError, Blobs
from tests.waiting import NEVER_S

DATA = b"a model"
SHA256 = hashlib.sha256(DATA).hexdigest()


def make(tmp_path, answer, **options):
    transport = httpx.MockTransport(answer)
    http = NodeHttp("https://x", Identity(Ed25519PrivateKey.generate()), keyid="n", transport=transport)
    return Blobs(http, BlobCache(tmp_path / "cache", **options))


async def get(blobs, sha256=SHA256, size=7, within_s=NEVER_S):
    return await blobs.get(sha256, size_bytes=size, grant="g", within_s=within_s)


async def test_fetched_once_then_kept(tmp_path):
    calls = []

    def answer(request):
        calls.append(request)
        return httpx.Response(200, content=DATA)

    blobs = make(tmp_path, answer)
    assert await get(blobs) == await get(blobs) == DATA
    assert len(calls) == 1
    assert calls[0].headers["driveway-grant"] == "g"
    assert "signature" in calls[0].headers


async def test_a_spoiled_copy_is_fetched_again(tmp_path):
    blobs = make(tmp_path, lambda request: httpx.Response(200, content=DATA))
    await get(blobs)
    blobs.cache.path(SHA256).write_bytes(b"spoiled")
    assert await get(blobs) == DATA


@pytest.mark.parametrize(
    ("content", "code"), [(b"another", "blob_corrupt"), (DATA + b"x", "blob_size"), (b"", "blob_size")]
)
async def test_what_is_not_the_blob_is_refused_and_not_kept(tmp_path, content, code):
    blobs = make(tmp_path, lambda request: httpx.Response(200, content=content))
    with pytest.raises(BlobError) as caught:
        await get(blobs)
    assert caught.value.code == code
    assert list((tmp_path / "cache").iterdir()) == []


async def test_no_name_leaves_the_folder(tmp_path):
    blobs = make(tmp_path, lambda request: httpx.Response(200, content=DATA))
    for name in ("../../etc/passwd", SHA256.upper(), SHA256 + "/", ""):
        with pytest.raises(BlobError) as caught:
            await get(blobs, name)
        assert caught.value.code == "digest_invalid"


async def test_failures_are_tried_again_and_refusals_are_not(tmp_path):
    answers = iter([httpx.Response(503, headers={"Retry-After": "0"}), httpx.Response(500), None])

    def answer(request):
        response = next(answers)
        if response is None:
            return httpx.Response(403, json={"error": {"code": "grant_invalid", "message": "No.", "fields": {}}})
        return response

    blobs = make(tmp_path, answer)
    with pytest.raises(RefusedError) as caught:
        await get(blobs)
    assert (caught.value.code, caught.value.status, caught.value.message) == ("grant_invalid", 403, "No.")


async def test_a_long_retry_after_is_respected(tmp_path):
    blobs = make(tmp_path, lambda request: httpx.Response(429, headers={"Retry-After": "600"}))
    with pytest.raises(UnreachableError) as caught:
        await get(blobs, within_s=1.0)
    assert caught.value.retry_after_s == 600
    assert Backoff().next(at_least_s=20) == 20
    assert Backoff().next(at_least_s=600) == 30


def test_the_least_recently_used_goes_first(tmp_path):
    cache = BlobCache(tmp_path, limit_bytes=25)
    names = [hashlib.sha256(bytes([n]) * 10).hexdigest() for n in range(3)]
    for age, (n, name) in enumerate(zip(range(3), names, strict=True)):
        cache.path(name).write_bytes(bytes([n]) * 10)
        os.utime(cache.path(name), (age, age))
    assert cache.read(names[0]) is not None  # a read makes it the most recently used one
    cache.trim()
    assert [cache.path(name).exists() for name in names] == [True, False, True]


def test_leftovers_of_a_crash_are_swept(tmp_path):
    (tmp_path / "abc.part").write_bytes(b"half")
    BlobCache(tmp_path)
    assert list(tmp_path.iterdir()) == []
