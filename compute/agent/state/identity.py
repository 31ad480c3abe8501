"""The node's private key, created on the vehicle and never sent: one Ed25519 key for HTTP, meter records and NATS."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

import nkeys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from compute import protocol
from compute.agent.state.errors import AgentError

KEY_FILE = "node.key"


@dataclass(frozen=True)
class Identity:
    """The node's key and what is signed with it."""

    key: Ed25519PrivateKey

    @property
    def public_key_hex(self) -> str:
        return self.key.public_key().public_bytes_raw().hex()

    @property
    def nkey_public(self) -> str:
        """The public key as a NATS user nkey ("U...")."""
        return str(self._nkey().public_key.decode())

    def sign_record(self, record: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes) of a meter record."""
        return self.key.sign(protocol.signed_bytes(record))

    def sign_nats_nonce(self, nonce: str) -> bytes:
        """Return the signed nonce of a NATS server in base64, the form that nats-py's ``signature_cb`` needs."""
        return base64.b64encode(self._nkey().sign(nonce.encode()))

    def _nkey(self) -> nkeys.KeyPair:
        seed = nkeys.encode_seed(self.key.private_bytes_raw(), nkeys.PREFIX_BYTE_USER)
        return nkeys.from_seed(bytearray(seed))


def create_identity(state: Path) -> Identity:
    """Return the key in the folder ``state``; create it if there is none, readable by this user only."""
    path = state / KEY_FILE
    if path.exists():
        return load_identity(state)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return Identity(key)


def load_identity(state: Path) -> Identity:
    """Return the key in the folder ``state``.

    Raise AgentError (not_enrolled, key_invalid) if there is no usable one.
    """
    path = state / KEY_FILE
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        message = f"{state} holds no key. Enrol this vehicle first: driveway-agent enrol."
        raise AgentError("not_enrolled", message) from error
    except ValueError as error:
        raise AgentError("key_invalid", f"{path} is not a private key in PEM form.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise AgentError("key_invalid", f"{path} is not an Ed25519 key.")
    return Identity(key)
