"""The platform's signing keys: Ed25519 signs the packages of statements, P-256 signs OCMF records."""

from functools import lru_cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from billing.verifier.keys import fingerprint

# The order of P-256's base point: a secret key is at least 1 and smaller than this.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def statement_key() -> Ed25519PrivateKey:
    """Return the secret key that signs packages."""
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.STATEMENT_SIGNING_KEY))


def statement_public_key() -> str:
    """Return the public key of `statement_key` as hex."""
    return statement_key().public_key().public_bytes_raw().hex()


def ocmf_key() -> ec.EllipticCurvePrivateKey:
    """Return the secret key that signs OCMF records."""
    return _p256(settings.OCMF_SIGNING_KEY)


def ocmf_public_pem() -> bytes:
    """Return the public key of `ocmf_key` as PEM."""
    return (
        ocmf_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def published_keys() -> dict[str, object]:
    """Return the public keys, present and retired, as `/statements/keys.json` publishes them to check packages with."""
    der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    present = statement_public_key()
    return {
        "statements": {
            "algorithm": "Ed25519",
            "keys": [
                {"key_id": fingerprint(key), "public_key": key, "in_use": key == present}
                for key in [present, *settings.STATEMENT_RETIRED_PUBLIC_KEYS]
            ],
        },
        "ocmf": {
            "algorithm": "ECDSA-secp256r1-SHA256",
            "public_key": ocmf_key().public_key().public_bytes(*der).hex(),
            "public_key_pem": ocmf_public_pem().decode(),
        },
    }


@lru_cache(maxsize=4)
def _p256(secret_hex: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int(secret_hex, 16) % (P256_ORDER - 1) + 1, ec.SECP256R1())
