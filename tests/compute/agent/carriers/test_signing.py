"""Signed requests: the server accepts what the agent signs, and refuses everything else with a code."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

from compute import protocol
from compute.agent.carriers.signing import sign_request
from compute.api.http_signatures import SignatureError, verify_request

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://driveway.example/api/node/v1/sync?a=1"
BODY = b"body"


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


def signed(key, *, body=BODY, url=URL, method="POST", now=NOW, keyid="node-1"):
    request = httpx.Request(method, url, content=body)
    sign_request(request, key=key, keyid=keyid, body=body, now=now)
    return request


def check(request, key, **changes):
    values = {
        "method": request.method,
        "url": str(request.url),
        "headers": request.headers,
        "body": BODY,
        "key_for": lambda keyid: key.public_key().public_bytes_raw() if keyid == "node-1" else None,
        "now": NOW,
    }
    return verify_request(**(values | changes))


def refused(request, key, **changes):
    with pytest.raises(SignatureError) as caught:
        check(request, key, **changes)
    assert caught.value.message.endswith((".", "clock.")) or ":" in caught.value.message
    return caught.value.code


def test_what_the_agent_signs_the_server_accepts(key):
    first, second = check(signed(key), key), check(signed(key), key)
    assert (first.keyid, first.created) == ("node-1", int(NOW.timestamp()))
    assert first.nonce != second.nonce


def test_an_empty_body_is_covered_too(key):
    request = signed(key, body=b"", method="GET", url="https://driveway.example/api/node/v1/blobs/ab")
    assert check(request, key, body=b"").keyid == "node-1"
    assert refused(request, key, body=b"x") == "digest_mismatch"


def test_the_host_is_not_covered_and_a_bare_path_will_do(key):
    assert check(signed(key), key, url="/api/node/v1/sync?a=1")
    assert check(signed(key), key, url="http://127.0.0.1:8000/api/node/v1/sync?a=1")


def test_a_body_may_be_given_by_its_digest(key):
    digest = hashlib.sha256(BODY).digest()
    assert check(signed(key), key, body=b"", body_sha256=digest)
    assert refused(signed(key), key, body_sha256=hashlib.sha256(b"other").digest()) == "digest_mismatch"


@pytest.mark.parametrize("name", ["signature", "signature-input", "content-digest"])
def test_a_missing_header(key, name):
    request = signed(key)
    del request.headers[name]
    assert refused(request, key) == "signature_missing"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"url": "/api/node/v1/other?a=1"},
        {"url": "/api/node/v1/sync?a=2"},
        {"url": "/api/node/v1/sync"},
    ],
)
def test_another_request_with_the_same_signature(key, changes):
    assert refused(signed(key), key, **changes) == "signature_invalid"


def test_another_body(key):
    assert refused(signed(key), key, body=b"other") == "digest_mismatch"


def test_another_digest_header_breaks_the_signature(key):
    request = signed(key)
    request.headers["content-digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(b'o').digest()).decode()}:"
    assert refused(request, key, body=b"o") == "signature_invalid"


@pytest.mark.parametrize(
    ("seconds", "code"), [(-61, "signature_expired"), (6, "signature_expired"), (-59, ""), (4, "")]
)
def test_age(key, seconds, code):
    request = signed(key, now=NOW + timedelta(seconds=seconds))
    if code:
        assert refused(request, key) == code
    else:
        assert check(request, key)


def test_an_unknown_key_and_a_foreign_key(key):
    assert refused(signed(key, keyid="node-2"), key) == "key_unknown"
    assert refused(signed(Ed25519PrivateKey.generate()), key) == "signature_invalid"


def custom(key, **changes):
    """Return a request that is signed with the library directly and breaks one of our rules."""
    request = httpx.Request("POST", URL, content=BODY)
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    request.headers["Content-Digest"] = f"sha-256=:{digest}:"
    values = {
        "key_id": "node-1",
        "created": NOW,
        "nonce": "n" * 24,
        "label": "node",
        "covered_component_ids": protocol.COVERED_COMPONENTS,
        "use_existing_digest": True,
    }
    resolver = MappingKeyResolver(public_keys={}, private_keys={"node-1": key})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=resolver)
    signer.sign(request, **(values | changes))
    return request


def test_the_library_alone_can_make_a_good_one(key):
    assert check(custom(key), key)


@pytest.mark.parametrize("left_out", range(len(protocol.COVERED_COMPONENTS)))
def test_every_component_must_be_covered(key, left_out):
    covered = [name for index, name in enumerate(protocol.COVERED_COMPONENTS) if index != left_out]
    assert refused(custom(key, covered_component_ids=covered), key) == "signature_invalid"


@pytest.mark.parametrize(
    "changes",
    [{"nonce": None}, {"nonce": "short"}, {"nonce": "n" * 129}, {"include_alg": False}, {"label": "other"}],
)
def test_every_parameter_must_be_there(key, changes):
    assert refused(custom(key, **changes), key) == "signature_invalid"


def test_a_signature_may_expire_earlier_by_itself(key):
    request = custom(key, created=NOW - timedelta(seconds=10), expires=NOW - timedelta(seconds=5))
    assert refused(request, key) == "signature_expired"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("signature", "node=:AAAA:"),
        ("signature", "node=:" + "A" * 88 + ":"),
        ("signature", "((((("),
        ("signature", "x" * 5000),
        ("signature-input", 'node=("@method");created=1;keyid="a"'),
        ("signature-input", "node=5"),
        ("signature-input", "\x00"),
        ("signature-input", 'node=("@method" "@path" "@query" "content-digest");created="x";keyid="node-1"'),
        (
            "signature-input",
            'node=("@method" "@path" "@query" "content-digest");keyid="node-1";alg="ed25519"',
        ),
        (
            "signature-input",
            'node=("@method" "@path" "@query" "content-digest");created=99999999999999;keyid="a"',
        ),
    ],
)
def test_garbage_is_refused_and_never_crashes(key, name, value):
    request = signed(key)
    headers = dict(request.headers) | {name: value}
    assert refused(request, key, headers=headers) in {"signature_invalid", "signature_expired"}
