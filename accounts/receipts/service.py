"""Receipts of the consent records in the database, and the keys that verify them."""

from collections.abc import Iterable

from django.conf import settings
from django.utils import timezone

from accounts.models import ConsentRecord, Owner
from accounts.receipts import documents
from accounts.receipts.documents import Link, chained_bytes
from accounts.receipts.keys import RECORD_DOMAIN, KeyRing, private_key
from core.errors import Conflict


def key_ring() -> KeyRing:
    """Return the public key of the present signing key, and those of former ones (RECEIPT_RETIRED_PUBLIC_KEYS)."""
    present = private_key(settings.RECEIPT_SIGNING_KEY).public_key().public_bytes_raw()
    return KeyRing([present, *(bytes.fromhex(key) for key in settings.RECEIPT_RETIRED_PUBLIC_KEYS)])


def receipt_text(record: ConsentRecord) -> str:
    """Return the receipt of one record as text. Raises Conflict `key_unknown` if none of our keys signed the record."""
    return documents.text(documents.receipt(_links([record])[0]))


def chain_text(owner: Owner) -> str:
    """Return an owner's chain of receipts as text, with a signed statement that it is complete as of now.

    Raises Conflict `key_unknown` if none of our keys signed some record.
    """
    links = _links(ConsentRecord.objects.filter(owner=owner).order_by("seq"))
    key = private_key(settings.RECEIPT_SIGNING_KEY)
    return documents.text(documents.chain(str(owner.public_id), links, timezone.now(), key))


def _links(records: Iterable[ConsentRecord]) -> list[Link]:
    ring = key_ring()
    return [_link(record, ring) for record in records]


def _link(record: ConsentRecord, ring: KeyRing) -> Link:
    payload = bytes(record.payload)
    key_id = ring.signer(RECORD_DOMAIN, chained_bytes(record.prev_hash, payload), bytes.fromhex(record.signature))
    if key_id is None:
        raise Conflict("This record was signed with a key that is no longer listed.", code="key_unknown")
    return Link(payload, record.prev_hash, record.hash, record.signature, key_id)
