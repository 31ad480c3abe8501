"""Receipts as JSON-LD files, for one act or an owner's whole chain. Equal receipts are equal byte for byte."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.receipts.context import CHAIN, RECEIPT
from accounts.receipts.keys import CHAIN_DOMAIN, fingerprint
from accounts.receipts.record import canonical

RECEIPT_SCHEMA = "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"
GENESIS_HASH = "0" * 64


@dataclass(frozen=True)
class Link:
    """A signed record: its exact bytes, the previous record's hash, its own hash, the signature and the key's id."""

    payload: bytes
    prev_hash: str
    hash: str
    signature: str
    key_id: str


def chained_bytes(prev_hash: str, payload: bytes) -> bytes:
    """Return the bytes that are hashed and signed: the previous record's hash (32 bytes), then this record's bytes."""
    return bytes.fromhex(prev_hash) + payload


def chain_hash(prev_hash: str, payload: bytes) -> str:
    """Return the SHA-256 of a record and of the hash before it, as 64 hex digits."""
    return hashlib.sha256(chained_bytes(prev_hash, payload)).hexdigest()


def receipt(link: Link) -> dict[str, Any]:
    """Return the receipt of one record."""
    record = json.loads(link.payload)
    return {
        "@context": RECEIPT,
        "@type": "ConsentReceipt",
        "schema_version": RECEIPT_SCHEMA,
        "receipt_id": record["record_id"],
        "record": record,
        "prev_hash": link.prev_hash,
        "hash": link.hash,
        "signature": link.signature,
        "key_id": link.key_id,
    }


def chain(owner: str, links: Sequence[Link], issued_at: datetime, key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return all receipts of an owner, oldest first, with a signed statement of their number and of the last hash."""
    statement = {
        "pii_principal_id": owner,
        "count": len(links),
        "head_hash": links[-1].hash if links else GENESIS_HASH,
        "issued_at": issued_at.isoformat(),
    }
    return {
        "@context": CHAIN,
        "@type": "ConsentReceiptChain",
        "schema_version": RECEIPT_SCHEMA,
        "statement": statement,
        "signature": key.sign(CHAIN_DOMAIN + canonical(statement)).hex(),
        "key_id": fingerprint(key.public_key().public_bytes_raw()),
        "receipts": [receipt(link) for link in links],
    }


def text(document: Any) -> str:
    """Return a document as text: sorted keys, two spaces of indent, a final line break.

    The verifier compares files with exactly this text.
    """
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
