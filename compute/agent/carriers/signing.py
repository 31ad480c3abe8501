"""Signs a node's requests: HTTP Message Signatures (RFC 9421, Ed25519) over method, path, query and body.

The server's counterpart is `compute/api/http_signatures.py`. The body is bound by its Content-Digest (RFC 9530),
which is always there, also for an empty body.
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

    ``keyid`` is the node's id; at enrolment, when there is none yet, the public key in hex. Sign again for
    each try: a nonce serves once. ``body_sha256`` (32 raw bytes) stands for ``body`` when it is streamed.
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
