"""The proof of an erasure: what was destroyed, what is kept and why, where was searched. It names no person, and is signed."""

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.utils import timezone

from accounts.models import ErasureRequest
from accounts.receipts.record import canonical
from core.privacy import Erasure
from marketplace.privacy import inventory, signed
from marketplace.privacy.search import Found, Needle

DOMAIN = b"driveway-erasure-v1\n"
NOTES = [
    "Searched: every column that can hold text, of every table, in one transaction with the destruction; case-insensitive, "
    "as written, as JSON, in hex and in base64. Names count as whole words where people write, addresses as whole addresses.",
    "Rows of others that hold the same name or address (what a customer wrote in its own rows) are counted, not altered.",
    "The VIN itself was never kept: its keyed hash was searched and destroyed.",
    "Files searched: names and contents of stored models, inputs and results, and of exports. Not searched: logs, and the files in "
    "which database and Redis keep what was asked of them.",
    "Backups are not searched: they run out on their own schedule.",
]


def compose(
    *,
    request: ErasureRequest,
    destroyed: dict[str, int],
    looked_for: list[Needle],
    found: Found,
    namesakes: dict[str, int],
) -> dict[str, Any]:
    """What is signed. `namesakes` are rows of others that hold the same name or address; everything else found nothing."""
    kinds = [needle.kind for needle in looked_for]
    return {
        "v": 1,
        "erasure": str(request.public_id),
        "account": str(request.owner.public_id),
        "requested_at": request.created_at.isoformat(),
        "erased_at": timezone.now().isoformat(),
        "destroyed": destroyed,
        "kept": kept(request),
        "looked_for": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "searched": {
            "tables": found.tables,
            "columns": found.columns,
            "sessions": found.sessions,
            "files": found.files,
            "files_by_name_only": found.files_unread,
            "file_bytes": found.file_bytes,
            "cache_entries": found.cache_entries,
        },
        "found": 0,
        "same_words_in_rows_of_others": namesakes,
        "notes": NOTES,
    }


def kept(request: ErasureRequest) -> dict[str, dict[str, Any]]:
    """Rows that stay, by table, and why."""
    answer = {}
    for table in inventory.TABLES:
        count = 0 if table.erasure is Erasure.DELETE else inventory.rows(table, request.owner).count()
        if count:
            answer[inventory.file_name(table)] = {"rows": count, "why": table.why}
    return answer


def sign(body: dict[str, Any]) -> str:
    return signed.receipt_key().sign(DOMAIN + canonical(body)).hex()


def holds(body: dict[str, Any], signature: str, public_key: str = "") -> bool:
    """Whether this is a proof that Driveway signed, unchanged."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key or signed.receipt_public_key()))
    try:
        key.verify(bytes.fromhex(signature), DOMAIN + canonical(body))
    except (InvalidSignature, ValueError):
        return False
    return True
