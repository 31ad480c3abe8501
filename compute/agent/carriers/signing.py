"""Sign a node's requests: HTTP Message Signatures (RFC 9421, Ed25519) over method, path, query and body.

`compute/api/http_signatures.py` verifies them on the server. The body is covered through its Content-Digest header
(RFC 9530), which every request has, also one with an empty body.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

import http_sf
import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

from compute import protocol

_NONCE_BYTES = 18


def sign_request(
    request: httpx.Request,
    *,
    key: Ed25519PrivateKey,
    keyid: str,
    body: bytes = b"",
    body_sha256: bytes | None = None,
    now: datetime | None = None,
) -> None:
    """Add Content-Digest, Signature-Input and Signature to ``request``, with a fresh nonce.

    ``keyid`` is the node's id, or the public key in hex before the node has an id (at enrolment). Sign each retry
    again, because a nonce is accepted only once. Give ``body_sha256`` (32 raw bytes) instead of ``body`` when the body
    is streamed.
    """
    digest = hashlib.sha256(body).digest() if body_sha256 is None else body_sha256
    request.headers["Content-Digest"] = http_sf.ser({"sha-256": digest})
    HTTPMessageSigner(
        signature_algorithm=algorithms.ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={keyid: key}),
    ).sign(
        request,
        key_id=keyid,
        created=now or datetime.now(UTC),
        nonce=secrets.token_urlsafe(_NONCE_BYTES),
        label=protocol.SIGNATURE_LABEL,
        covered_component_ids=protocol.COVERED_COMPONENTS,
        use_existing_digest=True,
    )
