"""The parts of an archive that verify without Driveway: signed bytes with their hashes, signatures and public keys.

Each function writes one file of the archive and returns how many entries it wrote.
"""

import json
from typing import IO, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from accounts.models import ConsentNotice, ConsentRecord, Owner
from compute.models import MeterRecord
from marketplace.privacy import inventory

FETCH_ROWS = 2000


def write_consents(owner: Owner, file: IO[str]) -> int:
    """Write the consent records in the chain's order: signed bytes (`payload`, UTF-8), hashes and signature."""
    rows = ConsentRecord.objects.filter(owner=owner).order_by("seq")
    fields = ("public_id", "seq", "payload", "prev_hash", "hash", "signature")
    key = receipt_public_key()
    count = 0
    for public_id, seq, payload, prev_hash, hash_, signature in rows.values_list(*fields).iterator(FETCH_ROWS):
        _line(
            file,
            record=str(public_id),
            seq=seq,
            payload=bytes(payload).decode(),
            prev_hash=prev_hash,
            hash=hash_,
            signature=signature,
            public_key=key,
        )
        count += 1
    return count


def write_meter_records(owner: Owner, file: IO[str]) -> int:
    """Write the records that the owner's cars signed, byte for byte, each with the car's public key."""
    rows = MeterRecord.objects.filter(node__vehicle__owner=owner).order_by("node_id", "seq")
    fields = ("node__public_id", "node__public_key", "seq", "record", "prev_hash", "hash", "signature")
    count = 0
    for node, key, seq, record, prev_hash, hash_, signature in rows.values_list(*fields).iterator(FETCH_ROWS):
        _line(
            file,
            node=str(node),
            seq=seq,
            record=bytes(record).decode(),
            prev_hash=prev_hash,
            hash=hash_,
            signature=bytes(signature).hex(),
            public_key=key,
        )
        count += 1
    return count


def write_notices(owner: Owner, file: IO[str]) -> int:
    """Write the texts of the consent notices that the owner decided about."""
    notices = ConsentNotice.objects.filter(consentrecord__owner=owner).distinct().order_by("purpose", "version")
    texts = [
        {
            "purpose": n.purpose,
            "version": n.version,
            "language": n.language,
            "title": n.title,
            "summary": n.summary,
            "body": n.body,
            "sha256": n.sha256,
        }
        for n in notices
    ]
    json.dump(texts, file, indent=1, ensure_ascii=False)
    return len(texts)


def write_inventory(file: IO[str]) -> int:
    """Write what each column means, why it is held, for how long, and what an erasure does with it."""
    tables = {
        inventory.file_name(table): {
            "title": table.title,
            "columns": {
                name: {
                    "what": column.what,
                    "purpose": str(table.purpose_of(column)),
                    "retention": table.retention_of(column),
                    "erasure": table.erasure_of(column),
                }
                for name, column in table.columns.items()
            },
        }
        for table in inventory.TABLES
    }
    json.dump(tables, file, indent=1, ensure_ascii=False)
    return len(tables)


def receipt_key() -> Ed25519PrivateKey:
    """Return the key that signs consent receipts and proofs of erasure."""
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.RECEIPT_SIGNING_KEY))


def receipt_public_key() -> str:
    """Return the public half of `receipt_key` in hex."""
    return receipt_key().public_key().public_bytes_raw().hex()


def _line(file: IO[str], **fields: Any) -> None:
    json.dump(fields, file, ensure_ascii=False)
    file.write("\n")
