"""Authentication of nodes' HTTPS requests, which are signed with the key created on the vehicle (RFC 9421)."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import http_sf
from django.core.cache import cache
from django.http import HttpRequest
from django.utils import timezone
from redis.exceptions import RedisError

from compute import protocol
from compute.api.http_signatures import SignatureError, VerifiedSignature, verify_request
from compute.models import Node
from core.errors import DomainError

logger = logging.getLogger(__name__)


class NotSigned(DomainError):
    """The request is not signed by an enrolled node."""

    code = "signature_invalid"
    status = 401


def signed_node(request: HttpRequest, *, body: bytes = b"", body_sha256: bytes | None = None) -> Node:
    """Return the node that signed this request. Raise NotSigned with the code of the failure, also for a replay."""
    nodes: dict[str, Node] = {}

    def key_for(keyid: str) -> bytes | None:
        node = _node(keyid)
        if node is None:
            return None
        nodes[keyid] = node
        return bytes.fromhex(node.public_key)

    verified = _verify(request, key_for, body, body_sha256)
    return nodes[verified.keyid]


def claimed_sha256(request: HttpRequest) -> bytes:
    """Return the SHA-256 that the request claims for its body (Content-Digest, RFC 9530), b"" if there is none.

    The digest is covered by the signature, so the signature can be verified before a large body is read.
    """
    try:
        members: Any = http_sf.parse(request.headers.get("Content-Digest", "").encode("ascii"), tltype="dictionary")
        digest = members["sha-256"][0]
    except (ValueError, KeyError, TypeError, IndexError):
        return b""
    return digest if isinstance(digest, bytes) else b""


def check_enrolment_signature(request: HttpRequest, *, public_key: str, body: bytes) -> None:
    """Verify that the request is signed with the key that it presents, so its sender has the private key.

    Raise NotSigned otherwise.
    """

    def key_for(keyid: str) -> bytes | None:
        return bytes.fromhex(public_key) if keyid == public_key else None

    _verify(request, key_for, body, None)


def _verify(
    request: HttpRequest, key_for: Callable[[str], bytes | None], body: bytes, body_sha256: bytes | None
) -> VerifiedSignature:
    try:
        verified = verify_request(
            method=request.method or "",
            url=request.get_full_path(),
            headers=request.headers,
            key_for=key_for,
            now=timezone.now(),
            body=body,
            body_sha256=body_sha256,
        )
    except SignatureError as error:
        raise NotSigned(error.message, code=error.code) from error
    if not _is_first(f"nonce:{verified.keyid}:{verified.nonce}"):
        raise NotSigned("This request was received before.", code="replayed")
    return verified


def _is_first(name: str) -> bool:
    """Return whether this nonce is new; True if Redis cannot be reached.

    Redis is only a first barrier: sync numbers, fences and digests also stop a replay within the minute.
    """
    try:
        return bool(cache.add(name, 1, timeout=2 * protocol.SIGNATURE_MAX_AGE_S))
    except (OSError, RedisError) as error:
        logger.warning("replayed requests of nodes are not detected: %s", error)
        return True


def _node(keyid: str) -> Node | None:
    try:
        public_id = UUID(keyid)
    except ValueError:
        return None
    return Node.objects.select_related("vehicle", "hardware_class").filter(public_id=public_id).first()
