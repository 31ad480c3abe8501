"""Receipts of what was recorded, and the keys that they are checked with."""

from collections.abc import Iterable

from django.conf import settings
from django.utils import timezone

from accounts.models import ConsentRecord, Owner
from accounts.receipts import documents
from accounts.receipts.documents import Link, chained
from accounts.receipts.keys import RECORD_DOMAIN, KeyRing, private_key
from core.errors import Conflict


def key_ring() -> KeyRing:
    """The key that signs now, and those that did before (RECEIPT_RETIRED_PUBLIC_KEYS)."""
    present = private_key(settings.RECEIPT_SIGNING_KEY).public_key().public_bytes_raw()
    return KeyRing([present, *(bytes.fromhex(key) for key in settings.RECEIPT_RETIRED_PUBLIC_KEYS)])


def receipt_text(record: ConsentRecord) -> str:
    """The receipt of one act, as a file. Raises Conflict `key_unknown` when no key of ours signed the record."""
    return documents.text(documents.receipt(_links([record])[0]))


def chain_text(owner: Owner) -> str:
    """All of an owner's receipts with a signed statement of how many there are, as a file. Raises Conflict `key_unknown`."""
    links = _links(ConsentRecord.objects.filter(owner=owner).order_by("seq"))
    key = private_key(settings.RECEIPT_SIGNING_KEY)
    return documents.text(documents.chain(str(owner.public_id), links, timezone.now(), key))


def _links(records: Iterable[ConsentRecord]) -> list[Link]:
    ring = key_ring()
    return [_link(record, ring) for record in records]


def _link(record: ConsentRecord, ring: KeyRing) -> Link:
    payload = bytes(record.payload)
    key_id = ring.signer(RECORD_DOMAIN, chained(record.prev_hash, payload), bytes.fromhex(record.signature))
    if key_id is None:
        raise Conflict("This record was signed with a key that is no longer listed.", code="key_unknown")
    return Link(payload, record.prev_hash, record.hash, record.signature, key_id)
