"""Verify signatures: Ed25519 of the platform on the manifest and of cars on records, and P-256 on OCMF records."""

import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# Public keys of small order: under them a signature is valid for any message. The platform refuses such keys as well.
SMALL_ORDER = {
    bytes(32),
    b"\x01" + bytes(31),
    bytes(31) + b"\x80",
    b"\x01" + bytes(30) + b"\x80",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
}


def fingerprint(public_key: str) -> str:
    """Return `ed25519:` and the SHA-256 of the key, the form in which the platform publishes key ids."""
    return f"ed25519:{hashlib.sha256(bytes.fromhex(public_key)).hexdigest()}"


def is_signed(public_key: str, message: bytes, signature: bytes) -> bool:
    """Return whether the signature of this message is valid under this Ed25519 public key (hex)."""
    try:
        _ed25519(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=1000)
def _ed25519(public_key: str) -> Ed25519PublicKey:
    raw = bytes.fromhex(public_key)
    if raw in SMALL_ORDER:  # cryptography accepts such keys
        raise ValueError("a key of small order signs everything")
    return Ed25519PublicKey.from_public_bytes(raw)


def ocmf_key(pem: bytes) -> ec.EllipticCurvePublicKey | None:
    """Return the P-256 public key in a PEM file, or None if it contains none."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) else None


def is_ocmf_signed(key: ec.EllipticCurvePublicKey, payload: bytes, signature: bytes) -> bool:
    """Return whether the signature of this OCMF payload is valid under this key."""
    try:
        key.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
