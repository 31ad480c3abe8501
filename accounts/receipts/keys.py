"""The Ed25519 keys of receipts: the private key that signs now, and the public keys of former ones."""

import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# Prefixes of signed messages, so that a signature of one kind is never valid for the other.
RECORD_DOMAIN = b"driveway-consent-v1\n"
CHAIN_DOMAIN = b"driveway-consent-chain-v1\n"


def private_key(seed_hex: str) -> Ed25519PrivateKey:
    """Return the private key of a 32-byte seed in hex. Raises ValueError for anything else."""
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed_hex))


def fingerprint(public: bytes) -> str:
    """Return the id of a public key in receipts: `ed25519:` and the SHA-256 of its 32 bytes in hex."""
    return f"ed25519:{hashlib.sha256(public).hexdigest()}"


class KeyRing:
    """Public keys by fingerprint. The first belongs to the key that signs now."""

    def __init__(self, public_keys: Iterable[bytes]) -> None:
        self.raw = {fingerprint(raw): raw for raw in public_keys}
        self._keys = {name: Ed25519PublicKey.from_public_bytes(raw) for name, raw in self.raw.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._keys

    def signed_by(self, name: str, domain: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the key with this fingerprint signed the message; False for a key that is not on the ring."""
        try:
            self._keys[name].verify(signature, domain + message)
        except (KeyError, InvalidSignature):
            return False
        return True

    def signer(self, domain: bytes, message: bytes, signature: bytes) -> str | None:
        """Return the fingerprint of the key that signed the message, or None. The present key is tried first."""
        return next((name for name in self._keys if self.signed_by(name, domain, message, signature)), None)
