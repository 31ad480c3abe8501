"""Receipts as files: one act, or an owner's whole chain, in the one form that we issue byte for byte."""

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
    """A record as it was signed: its exact bytes, the hash before it, its own hash, and who signed."""

    payload: bytes
    prev_hash: str
    hash: str
    signature: str
    key_id: str


def chained(prev_hash: str, payload: bytes) -> bytes:
    """What is hashed and signed: the hash of the record before, and this record's bytes."""
    return bytes.fromhex(prev_hash) + payload


def chain_hash(prev_hash: str, payload: bytes) -> str:
    return hashlib.sha256(chained(prev_hash, payload)).hexdigest()


def receipt(link: Link) -> dict[str, Any]:
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
    """All receipts of an owner, oldest first, under a signed statement of how many there are and where they end."""
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
    """The file's text: sorted keys, indented by two, a line break at the end. Verifying compares with exactly this."""
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
