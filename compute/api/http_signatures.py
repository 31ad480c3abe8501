"""Verify the HTTP Message Signature (RFC 9421, Ed25519) of a node's request. Pure: no Django, no clock.

The caller must check that the nonce is new, and that the node may do what it asks for.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import http_sf
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

from compute import protocol

_CLOCK_SKEW_S = 5
_NONCE_LENGTHS = range(16, 129)
_MAX_HEADER_CHARS = 2048


class SignatureError(Exception):
    """The request has no valid signature. `code` is stable, `message` is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class VerifiedSignature:
    """The content of a valid signature: key id, time (Unix seconds), and the nonce, which must be used only once."""

    keyid: str
    nonce: str
    created: int


@dataclass(frozen=True)
class _Request:
    """A request in the form that the library reads."""

    method: str
    url: str
    headers: Mapping[str, str]


@dataclass
class _Keys(HTTPSignatureKeyResolver):
    """Looks up the key, and remembers if there was none."""

    key_for: Callable[[str], bytes | None]
    unknown: bool = field(default=False)

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        raw = self.key_for(key_id)
        self.unknown = raw is None
        return None if raw is None else Ed25519PublicKey.from_public_bytes(raw)


class _Verifier(HTTPMessageVerifier):
    """The library's verifier with the given time instead of the system clock."""

    def __init__(self, keys: _Keys, now: datetime) -> None:
        super().__init__(signature_algorithm=algorithms.ED25519, key_resolver=keys)
        self._now = now

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        created, now = sig_input.params.get("created"), self._now.timestamp()
        if created is None:
            raise SignatureError("signature_invalid", "The signature has no creation time.")
        expires = sig_input.params.get("expires", now)
        oldest = now - protocol.SIGNATURE_MAX_AGE_S
        if not oldest <= created <= now + _CLOCK_SKEW_S or expires < now:
            raise SignatureError(
                "signature_expired",
                f"The signature was made {now - created:.0f} s before the server's time; at most"
                f" {protocol.SIGNATURE_MAX_AGE_S} s is allowed. Check the vehicle's clock.",
            )


def verify_request(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    key_for: Callable[[str], bytes | None],
    now: datetime,
    body: bytes = b"",
    body_sha256: bytes | None = None,
) -> VerifiedSignature:
    """Verify the signature of a request: its coverage, its age, and the digest of the body.

    ``url`` is absolute, or a path with its query (scheme and host are not covered). Give ``body_sha256`` (32 raw bytes)
    instead of ``body`` if the body was hashed while it was streamed. ``key_for`` maps a keyid to the 32 raw bytes of an
    Ed25519 public key, or to None. ``now`` is an aware datetime. The digest is compared last.

    Raise SignatureError with the code ``signature_missing``, ``signature_invalid``, ``signature_expired``,
    ``key_unknown`` or ``digest_mismatch``.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    _require_headers(fields)
    request = _Request(method.upper(), f"http://node{url}" if url.startswith("/") else url, fields)
    keys = _Keys(key_for)
    params, covered = _verify(request, keys, now.astimezone(UTC))
    verified = _read_params(params)
    digest = hashlib.sha256(body).digest() if body_sha256 is None else body_sha256
    if not hmac.compare_digest(_claimed_sha256(covered['"content-digest"']), digest):
        raise SignatureError("digest_mismatch", "The body is not the one that was signed.")
    return verified


def _require_headers(fields: Mapping[str, str]) -> None:
    for name in ("signature-input", "signature", "content-digest"):
        if not fields.get(name):
            raise SignatureError("signature_missing", f"The request has no {name} header.")
        if len(fields[name]) > _MAX_HEADER_CHARS:
            raise SignatureError("signature_invalid", f"The {name} header is too long.")


def _verify(request: _Request, keys: _Keys, now: datetime) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (parameters, covered components) of the request's only signature."""
    try:
        results = _Verifier(keys, now).verify(request, require_components=protocol.COVERED_COMPONENTS)
    except (InvalidSignature, HTTPMessageSignaturesException, ValueError) as error:
        if keys.unknown:
            raise SignatureError("key_unknown", "No node has this key.") from error
        raise SignatureError("signature_invalid", f"The signature is not valid: {error}") from error
    result = results[0]
    if result.label != protocol.SIGNATURE_LABEL:
        raise SignatureError("signature_invalid", f'The signature must be labelled "{protocol.SIGNATURE_LABEL}".')
    return result.parameters, result.covered_components


def _read_params(params: Mapping[str, Any]) -> VerifiedSignature:
    if params.get("alg") != algorithms.ED25519.algorithm_id:
        raise SignatureError("signature_invalid", "The signature must name the algorithm ed25519.")
    nonce = params.get("nonce")
    if nonce is None or len(nonce) not in _NONCE_LENGTHS:
        raise SignatureError("signature_invalid", "The signature must carry a nonce of 16 to 128 characters.")
    return VerifiedSignature(keyid=params["keyid"], nonce=nonce, created=params["created"])


def _claimed_sha256(value: str) -> bytes:
    """Return the sha-256 member of a Content-Digest field (RFC 9530). Raise SignatureError `digest_mismatch`."""
    try:
        members: Any = http_sf.parse(value.encode("ascii"), tltype="dictionary")
        digest = members["sha-256"][0]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SignatureError("digest_mismatch", "The content-digest header has no sha-256.") from error
    if not isinstance(digest, bytes):
        raise SignatureError("digest_mismatch", "The content-digest header has no sha-256.")
    return digest
