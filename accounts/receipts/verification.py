"""Verify receipts without a database: their bytes, hashes and signatures, and the order of a chain.

`verify` is the only function to call. It reports every finding instead of raising.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accounts.receipts.context import CHAIN, RECEIPT
from accounts.receipts.documents import GENESIS_HASH, RECEIPT_SCHEMA, chain_hash, chained_bytes, text
from accounts.receipts.keys import CHAIN_DOMAIN, RECORD_DOMAIN, KeyRing
from accounts.receipts.record import canonical
from accounts.receipts.strict_json import MAX_BYTES, Unreadable, read

# Stable code -> sentence for a person; {} is the detail of the finding.
SENTENCES = {
    "too_large": "The file is larger than any receipt: {}.",
    "not_utf8": "The file is not text in UTF-8: {}.",
    "not_json": "The file is not JSON: {}.",
    "duplicate_key": "A name occurs twice in one object, so that it could be read in two ways: {}.",
    "number_refused": "Receipts hold whole numbers only, not {}.",
    "not_a_receipt": "The file is neither a receipt nor a list of receipts.",
    "field_missing": "A field of the receipt is missing: {}.",
    "field_unknown": "The receipt has a field that we never write: {}.",
    "wrong_type": "A field of the receipt is not what it should be: {}.",
    "envelope_changed": "The part of the receipt around the record was changed: {}.",
    "receipt_id_mismatch": "The receipt's number is not that of the record in it: {}.",
    "record_changed": "The record, or the hash before it, was changed after it was signed.",
    "hash_wrong": "The signature is valid, but the hash beside it is not that of the record.",
    "signature_invalid": "The signature does not belong to this record.",
    "unknown_key": "Signed with a key that is not ours: {}.",
    "start_missing": "The beginning is missing: the first receipt is number {}, not 1.",
    "gap": "Receipts are missing here: {}.",
    "wrong_order": "The receipts are not in order: {}.",
    "duplicate_receipt": "Two receipts have the same number: {}.",
    "broken_link": "The receipt does not continue the one before it: number {}.",
    "foreign_receipt": "The receipt belongs to another person's chain: {}.",
    "end_missing": "The end is missing: {}.",
    "statement_mismatch": "The statement does not belong to these receipts: {}.",
    "statement_invalid": "The signature of the statement about the whole chain is not valid.",
    "not_as_issued": "Every signature is valid, but the file is not byte for byte as we issue it:"
    " it was edited or reformatted.",
}

HEX_32, HEX_64 = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{128}")
KEY_ID = re.compile("ed25519:[0-9a-f]{64}")
ANY_TEXT = re.compile(".{1,200}")
RECEIPT_TEXTS = {
    "receipt_id": ANY_TEXT,
    "prev_hash": HEX_32,
    "hash": HEX_32,
    "signature": HEX_64,
    "key_id": KEY_ID,
}
RECEIPT_FRAME = {"@context": RECEIPT, "@type": "ConsentReceipt", "schema_version": RECEIPT_SCHEMA}
CHAIN_FRAME = {"@context": CHAIN, "@type": "ConsentReceiptChain", "schema_version": RECEIPT_SCHEMA}


@dataclass(frozen=True)
class Finding:
    """One problem. `position` is the number of the receipt in the file, from 1; 0 is the file as a whole."""

    code: str
    position: int = 0
    detail: str = ""

    @property
    def sentence(self) -> str:
        return SENTENCES[self.code].format(self.detail)


@dataclass(frozen=True)
class ReceiptContents:
    """The contents of a receipt, `said` being its record. Trust them only if the report has no findings."""

    position: int
    receipt_id: str
    owner: str
    seq: int
    prev_hash: str
    hash: str
    key_id: str
    said: dict[str, Any]


@dataclass
class Report:
    """The result of verifying a file."""

    findings: list[Finding] = field(default_factory=list)
    receipts: list[ReceiptContents] = field(default_factory=list)
    complete_at: str = ""  # ISO 8601; only for a whole chain: when its statement was signed

    @property
    def is_valid(self) -> bool:
        return not self.findings

    def add(self, code: str, position: int = 0, detail: object = "") -> None:
        self.findings.append(Finding(code, position, str(detail)[:200]))


def verify(data: bytes, keys: KeyRing, *, max_bytes: int = MAX_BYTES) -> Report:
    """Return a report on a receipt, a list of receipts, or an owner's whole chain. Does not raise for any input."""
    report = Report()
    try:
        document, given = read(data, max_bytes=max_bytes)
        _document(report, document, given, keys)
    except Unreadable as error:
        report.add(error.code, detail=error.detail)
    except RecursionError:
        report.add("not_json", detail="nested too deeply")
    return report


def _document(report: Report, document: Any, given: str, keys: KeyRing) -> None:
    if isinstance(document, list):
        if not document:
            report.add("not_a_receipt")
        _receipts(report, document, keys)
        return
    kind = document.get("@type") if isinstance(document, dict) else None
    if kind == "ConsentReceiptChain":
        _chain(report, document, keys)
    elif kind == "ConsentReceipt" or (isinstance(document, dict) and "record" in document):
        _receipts(report, [document], keys, alone=True)
    else:
        report.add("not_a_receipt")
    if report.is_valid and text(document).rstrip() != given:
        report.add("not_as_issued")


def _chain(report: Report, document: dict[str, Any], keys: KeyRing) -> None:
    names = {*CHAIN_FRAME, "statement", "signature", "key_id", "receipts"}
    if not _has_shape(report, document, names, CHAIN_FRAME, {"signature": HEX_64, "key_id": KEY_ID}, 0):
        return
    statement, receipts = document["statement"], document["receipts"]
    if not isinstance(receipts, list) or not _is_statement(statement):
        report.add("wrong_type", detail="statement or receipts")
        return
    key_id, signature = document["key_id"], bytes.fromhex(document["signature"])
    if key_id not in keys:
        report.add("unknown_key", detail=key_id)
    elif not keys.signed_by(key_id, CHAIN_DOMAIN, canonical(statement), signature):
        report.add("statement_invalid")
    _receipts(report, receipts, keys)
    _compare(report, statement, len(receipts))
    report.complete_at = statement["issued_at"]


def _compare(report: Report, statement: dict[str, Any], count: int) -> None:
    """Compare the signed statement with the receipts. Only this finds a missing end: the rest is a valid chain."""
    if count < statement["count"]:
        report.add("end_missing", detail=f"{count} of {statement['count']} receipts")
    elif count > statement["count"]:
        report.add("statement_mismatch", detail=f"{count} receipts, not {statement['count']}")
    elif len(report.receipts) == count:
        last = report.receipts[-1].hash if report.receipts else GENESIS_HASH
        if last != statement["head_hash"]:
            report.add("statement_mismatch", detail="the last hash")
        if report.receipts and report.receipts[0].owner != statement["pii_principal_id"]:
            report.add("statement_mismatch", detail="another person")


def _receipts(report: Report, documents: Sequence[Any], keys: KeyRing, *, alone: bool = False) -> None:
    """Verify each receipt, then that each continues the one before it. A receipt `alone` need not be the first."""
    before: ReceiptContents | None = None
    for position, document in enumerate(documents, 1):
        seen = _receipt(report, document, keys, position)
        if seen is None:
            continue
        report.receipts.append(seen)
        if before:
            _link(report, before, seen)
        elif position == 1 and not alone:
            _begin(report, seen)
        before = seen


def _begin(report: Report, seen: ReceiptContents) -> None:
    if seen.seq != 1:
        report.add("start_missing", seen.position, seen.seq)
    elif seen.prev_hash != GENESIS_HASH:
        report.add("broken_link", seen.position, seen.seq)


def _link(report: Report, before: ReceiptContents, seen: ReceiptContents) -> None:
    if seen.owner != before.owner:
        report.add("foreign_receipt", seen.position, seen.owner)
    elif seen.seq == before.seq:
        report.add("duplicate_receipt", seen.position, seen.seq)
    elif seen.seq < before.seq:
        report.add("wrong_order", seen.position, f"{seen.seq} after {before.seq}")
    elif seen.seq > before.seq + 1:
        first, last = before.seq + 1, seen.seq - 1
        report.add("gap", seen.position, f"number {first}" if first == last else f"numbers {first} to {last}")
    elif seen.prev_hash != before.hash:
        report.add("broken_link", seen.position, seen.seq)


def _receipt(report: Report, document: Any, keys: KeyRing, position: int) -> ReceiptContents | None:
    """Verify one receipt by itself. Return its contents, or None if it cannot be read."""
    names = {*RECEIPT_FRAME, *RECEIPT_TEXTS, "record"}
    if not _has_shape(report, document, names, RECEIPT_FRAME, RECEIPT_TEXTS, position):
        return None
    record, prev_hash = document["record"], document["prev_hash"]
    if not _is_record(record):
        report.add("wrong_type", position, "record")
        return None
    payload, key_id = canonical(record), document["key_id"]
    message, signature = chained_bytes(prev_hash, payload), bytes.fromhex(document["signature"])
    is_signed = keys.signed_by(key_id, RECORD_DOMAIN, message, signature)
    has_right_hash = chain_hash(prev_hash, payload) == document["hash"]
    if key_id not in keys:
        report.add("unknown_key", position, key_id)
    if not has_right_hash:
        report.add("hash_wrong" if is_signed else "record_changed", position)
    elif not is_signed and key_id in keys:
        report.add("signature_invalid", position)
    if document["receipt_id"] != record["record_id"]:
        report.add("receipt_id_mismatch", position, document["receipt_id"])
    return ReceiptContents(
        position,
        record["record_id"],
        record["pii_principal_id"],
        record["seq"],
        prev_hash,
        document["hash"],
        key_id,
        record,
    )


def _has_shape(
    report: Report,
    document: Any,
    names: set[str],
    frame: dict[str, Any],
    patterns: dict[str, re.Pattern[str]],
    position: int,
) -> bool:
    """Check that a document has exactly the fields `names`, the values of `frame` and texts that match `patterns`."""
    if not isinstance(document, dict):
        report.add("not_a_receipt", position)
        return False
    before = len(report.findings)
    for name in sorted(names - set(document)):
        report.add("field_missing", position, name)
    for name in sorted(set(document) - names):
        report.add("field_unknown", position, name[:60])
    if len(report.findings) > before:
        return False
    for name, value in frame.items():
        if document[name] != value:
            report.add("envelope_changed", position, name)
    for name, pattern in patterns.items():
        if not isinstance(document[name], str) or not pattern.fullmatch(document[name]):
            report.add("wrong_type", position, name)
    return len(report.findings) == before


def _is_record(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and isinstance(record.get("record_id"), str)
        and isinstance(record.get("pii_principal_id"), str)
        and type(record.get("seq")) is int
        and record["seq"] >= 1
        and isinstance(record.get("event"), dict)
    )


def _is_statement(statement: Any) -> bool:
    kinds = {"pii_principal_id": str, "count": int, "head_hash": str, "issued_at": str}
    return (
        isinstance(statement, dict)
        and set(statement) == set(kinds)
        and all(type(statement[name]) is kind for name, kind in kinds.items())
        and statement["count"] >= 0
    )
