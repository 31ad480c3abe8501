"""The signed proof of an erasure: what was destroyed, what is kept and why, and where was searched.

It names no person.
"""

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.utils import timezone

from accounts.models import ErasureRequest
from accounts.receipts.record import canonical
from core.privacy import Erasure
from marketplace.privacy import inventory, signed_files
from marketplace.privacy.search import Needle, SearchResult

DOMAIN = b"driveway-erasure-v1\n"
NOTES = [
    "Searched: every column that can hold text, of every table, in one transaction with the destruction. The search "
    "ignores case and finds a text as written, as JSON, in hex and in base64. Names are found as whole words, in "
    "columns that hold people's own words; addresses are found as whole addresses.",
    "Other people's rows that hold the same name or address (text that a customer wrote in its own rows) are counted "
    "and not changed.",
    "The VIN itself was never stored: its keyed hash was searched for and destroyed.",
    "Files searched: names and contents of stored models, inputs, results and exports. Not searched: logs, and the "
    "data files of the database and of Redis, whose content was searched through queries.",
    "Backups are not searched: they expire on their own schedule.",
]


def compose(
    *,
    request: ErasureRequest,
    destroyed: dict[str, int],
    looked_for: list[Needle],
    found: SearchResult,
    namesakes: dict[str, int],
) -> dict[str, Any]:
    """Return the body of the proof, which is then signed.

    `namesakes` counts other people's rows that hold the same name or address, by table. Nothing else was found:
    otherwise the erasure raises Residue and there is no proof.
    """
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
    """Return the rows that stay, by table: how many and why."""
    kept_tables = {}
    for table in inventory.TABLES:
        count = 0 if table.erasure is Erasure.DELETE else inventory.rows(table, request.owner).count()
        if count:
            kept_tables[inventory.file_name(table)] = {"rows": count, "why": table.why}
    return kept_tables


def sign(body: dict[str, Any]) -> str:
    """Return the Ed25519 signature of the body's canonical JSON, in hex."""
    return signed_files.receipt_key().sign(DOMAIN + canonical(body)).hex()


def is_genuine(body: dict[str, Any], signature: str, public_key: str = "") -> bool:
    """Return whether the signature (hex) is Driveway's for exactly this body.

    `public_key` (hex) defaults to the present key.
    """
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key or signed_files.receipt_public_key()))
    try:
        key.verify(bytes.fromhex(signature), DOMAIN + canonical(body))
    except (InvalidSignature, ValueError):
        return False
    return True
