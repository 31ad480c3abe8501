"""Verifying receipts: a changed byte, a gap, a wrong order, an unknown key or a missing end is found and named."""

import copy
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.consents import consents
from accounts.receipts import documents, record
from accounts.receipts.keys import RECORD_DOMAIN, KeyRing, fingerprint
from accounts.receipts.record import canonical
from accounts.receipts.verification import SENTENCES, verify

KEY, OTHER = Ed25519PrivateKey.from_private_bytes(b"1" * 32), Ed25519PrivateKey.from_private_bytes(b"2" * 32)
PUBLIC, OTHER_PUBLIC = KEY.public_key().public_bytes_raw(), OTHER.public_key().public_bytes_raw()
RING = KeyRing([PUBLIC])
OWNER, CAR = uuid.UUID(int=1), uuid.UUID(int=2)
AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FLAT = {  # a record in the former format, before JSON-LD
    "schema_version": record.SCHEMA,
    "record_id": str(uuid.UUID(int=9)),
    "pii_principal_id": str(OWNER),
    "seq": 1,
    "vehicle": str(CAR),
    "purpose": "run_jobs",
    "privacy_notice": "run_jobs/v1",
    "jurisdiction": "US",
    "recipient_third_parties": [],
    "event": {"event_state": "given", "event_time": AT.isoformat(), "method": "portal"},
}


def link(prev_hash, payload, key=KEY):
    signature = key.sign(RECORD_DOMAIN + documents.chained_bytes(prev_hash, payload)).hex()
    name = fingerprint(key.public_key().public_bytes_raw())
    return documents.Link(payload, prev_hash, documents.chain_hash(prev_hash, payload), signature, name)


def make_links(count, *, owner=OWNER, key=KEY, first=FLAT):
    """Return a chain of `count` records; the first is in the former flat format unless `first` is None."""
    links, prev_hash = [], documents.GENESIS_HASH
    for seq in range(1, count + 1):
        act = record.Act(
            record_id=uuid.UUID(int=100 + seq, version=4),
            seq=seq,
            owner=owner,
            vehicle=CAR,
            country="US",
            state="given" if seq % 2 else "withdrawn",
            method="portal",
            entity="user:1",
            at=AT + timedelta(hours=seq),
            expires_at=AT + timedelta(days=365) if seq % 2 else None,
        )
        text = record.Notice("run_jobs", 1, "de", "Aufträge von Kunden ausführen", "ab" * 32, 365)
        fields = first | {"pii_principal_id": str(owner)} if seq == 1 and first else None
        payload = canonical(fields or record.record_fields(act, text, consents.controller()))
        links.append(link(prev_hash, payload, key))
        prev_hash = links[-1].hash
    return links


LINKS = make_links(5)
CHAIN = documents.chain(str(OWNER), LINKS, AT, KEY)


def chain():
    return copy.deepcopy(CHAIN)


def codes(document, ring=RING):
    data = document if isinstance(document, bytes) else documents.text(document).encode()
    report = verify(data, ring)
    assert all(finding.sentence for finding in report.findings)
    assert report.is_valid == (not report.findings)
    return {finding.code for finding in report.findings}


def receipt_at(index=2):
    return copy.deepcopy(CHAIN["receipts"][index])


# --- what is right ----------------------------------------------------------------------------------------------------


def test_a_receipt_a_list_and_a_whole_chain_hold():
    for seq in range(5):
        assert codes(receipt_at(seq)) == set()
    assert codes(CHAIN["receipts"]) == codes(CHAIN) == set()
    assert codes(documents.chain(str(OWNER), [], AT, KEY)) == set()
    report = verify(documents.text(CHAIN).encode(), RING)
    assert [seen.seq for seen in report.receipts] == [1, 2, 3, 4, 5]
    assert report.complete_at == AT.isoformat()


def test_no_receipt_at_all_is_not_valid():
    assert codes([]) == {"not_a_receipt"}


def test_line_ends_of_another_system_are_no_change():
    text = documents.text(receipt_at())
    assert codes(text.replace("\n", "\r\n").encode()) == codes(text.rstrip().encode()) == set()


def test_a_retired_key_still_verifies_and_a_chain_may_hold_both():
    old = make_links(2, key=OTHER)
    new = link(old[-1].hash, canonical(FLAT | {"seq": 3}))
    document = documents.chain(str(OWNER), [*old, new], AT, KEY)
    assert codes(document, KeyRing([PUBLIC, OTHER_PUBLIC])) == set()
    assert codes(document) == {"unknown_key"}


# --- what is wrong ----------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_a_record_is_found(data):
    """Also in a well-formed file: the changed record is put back into an intact receipt."""
    seq = data.draw(st.integers(0, 4))
    payload = bytearray(LINKS[seq].payload)
    place = data.draw(st.integers(0, len(payload) - 1))
    how = data.draw(st.sampled_from(["replace", "remove", "insert"]))
    byte = data.draw(st.integers(0, 255).filter(lambda b: how != "replace" or b != payload[place]))
    payload[place : place + (how != "insert")] = b"" if how == "remove" else bytes([byte])
    frame = documents.text({**receipt_at(seq), "record": "@"}).encode()
    assert codes(frame.replace(b'"@"', bytes(payload)))


@settings(max_examples=80, deadline=None)
@given(place=st.integers(0, len(documents.text(CHAIN).encode()) - 2), byte=st.integers(0, 255))
def test_any_changed_byte_of_the_file_is_found(place, byte):
    data = bytearray(documents.text(CHAIN).encode())
    if data[place] != byte:
        data[place] = byte
        assert codes(bytes(data))


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(5)), keep=st.sets(st.integers(0, 4), min_size=1))
def test_any_removed_or_reordered_receipt_is_found(order, keep):
    document = chain()
    document["receipts"] = [CHAIN["receipts"][index] for index in order if index in keep]
    whole = [index for index in order if index in keep] == [0, 1, 2, 3, 4]
    assert bool(codes(document)) != whole
    # A list without the statement cannot show that its end is missing; everything else is found.
    is_beginning = [index for index in order if index in keep] == list(range(len(keep)))
    assert bool(codes(document["receipts"])) != is_beginning


def changed(**changes):
    return {**receipt_at(), **changes}


def with_record(**changes):
    document = receipt_at()
    document["record"] |= changes
    return document


def resealed(document, key=OTHER):
    """Return the document with a new hash and a signature by another key that claims to be ours, as a forger would."""
    forged = link(document["prev_hash"], canonical(document["record"]), key)
    return document | {"hash": forged.hash, "signature": forged.signature}


SINGLE = {
    "a word of the record": (with_record(purpose="region"), {"record_changed"}),
    "the end moved": (with_record(event=receipt_at()["record"]["event"] | {"expires_at": None}), {"record_changed"}),
    "a field added": (with_record(more=1), {"record_changed"}),
    "the hash before": (changed(prev_hash="0" * 64), {"record_changed"}),
    "the hash": (changed(hash="0" * 64), {"hash_wrong"}),
    "the signature": (changed(signature="0" * 128), {"signature_invalid"}),
    "sealed anew with another key": (resealed(with_record(purpose="region")), {"signature_invalid"}),
    "in another key's name": (changed(key_id=fingerprint(OTHER_PUBLIC)), {"unknown_key"}),
    "its number": (changed(receipt_id=str(uuid.uuid4())), {"receipt_id_mismatch"}),
    "its frame": (changed(schema_version="x"), {"envelope_changed"}),
    "its context": (changed(**{"@context": {}}), {"envelope_changed"}),
    "a field too many": (changed(note="x"), {"field_unknown"}),
    "a field too few": ({name: value for name, value in receipt_at().items() if name != "hash"}, {"field_missing"}),
    "no text": (changed(signature=1), {"wrong_type"}),
    "no hex": (changed(hash="G" * 64), {"wrong_type"}),
    "no record": (changed(record=[]), {"wrong_type"}),
    "a number as text": (with_record(seq="3"), {"wrong_type"}),
    "a truth as number": (with_record(seq=True), {"wrong_type"}),
    "something else": ({"hello": "world"}, {"not_a_receipt"}),
    "a bare number": (b"1", {"not_a_receipt"}),
    "nothing": (b"", {"not_json"}),
    "not text": (b"\xff\xfe", {"not_utf8"}),
    "half a file": (documents.text(receipt_at()).encode()[:-20], {"not_json"}),
    "nested without end": (b"[" * 200_000, {"not_json"}),
    "a lone surrogate": (b'{"record": "\\ud800"}', {"not_json"}),
    "a huge number": (b'{"record": ' + b"9" * 5000 + b"}", {"not_json"}),
    "a name twice": (b'{"record": 1, "record": 2}', {"duplicate_key"}),
    "not a number": (b'{"record": NaN}', {"number_refused"}),
    "a fraction": (b'{"record": 1.5}', {"number_refused"}),
    "an exponent": (b'{"record": 1e3}', {"number_refused"}),
    "too much": (b" " * (9 << 20), {"too_large"}),
    "another spelling": (json.dumps(receipt_at()).encode(), {"not_as_issued"}),
}


@pytest.mark.parametrize(("document", "expected"), SINGLE.values(), ids=SINGLE)
def test_what_is_wrong_with_a_receipt_has_a_name(document, expected):
    assert codes(document) == expected


def picked(*indexes):
    return chain() | {"receipts": [CHAIN["receipts"][index] for index in indexes]}


def restated(**changes):
    document = chain()
    document["statement"] |= changes
    return document


FOREIGN = documents.chain(str(OWNER), [*LINKS[:2], *make_links(3, owner=CAR)[2:]], AT, KEY)
GRAFTED = documents.chain(str(OWNER), [*LINKS[:2], *make_links(5, first=None)[2:]], AT, KEY)
CHAINS = {
    "one is missing": (picked(0, 1, 3, 4), {"gap", "end_missing"}),
    "two are missing": (picked(0, 3, 4), {"gap", "end_missing"}),
    "the first is missing": (picked(1, 2, 3, 4), {"start_missing", "end_missing"}),
    "the end is missing": (picked(0, 1, 2), {"end_missing"}),
    "all are missing": (picked(), {"end_missing"}),
    "two are swapped": (picked(0, 2, 1, 3, 4), {"gap", "wrong_order"}),
    "one stands twice": (picked(0, 1, 1, 2, 3), {"duplicate_receipt", "statement_mismatch"}),
    "one more than stated": (picked(0, 1, 2, 3, 4, 4), {"duplicate_receipt", "statement_mismatch"}),
    "another person's": (FOREIGN, {"foreign_receipt"}),
    "of another chain": (GRAFTED, {"broken_link"}),
    "an edited statement": (restated(count=3), {"statement_invalid", "statement_mismatch"}),
    "a later date": (restated(issued_at=(AT + timedelta(days=9)).isoformat()), {"statement_invalid"}),
    "a statement of another person": (documents.chain(str(CAR), LINKS, AT, KEY), {"statement_mismatch"}),
    "a statement by another key": (documents.chain(str(OWNER), LINKS, AT, OTHER), {"unknown_key"}),
    "a statement that is none": (chain() | {"statement": 1}, {"wrong_type"}),
    "receipts that are none": (chain() | {"receipts": {}}, {"wrong_type"}),
    "a changed record among them": (
        chain() | {"receipts": [with_record(seq=1), *CHAIN["receipts"][1:]]},
        {"record_changed", "broken_link"},
    ),
    "not a list of receipts": ([1, "x", None], {"not_a_receipt"}),
}


@pytest.mark.parametrize(("document", "expected"), CHAINS.values(), ids=CHAINS)
def test_what_is_wrong_with_a_chain_has_a_name(document, expected):
    assert codes(document) == expected


def test_a_finding_says_where():
    report = verify(documents.text(picked(0, 1, 3, 4)).encode(), RING)
    gap = next(finding for finding in report.findings if finding.code == "gap")
    assert (gap.position, gap.sentence) == (3, "Receipts are missing here: number 3.")
    assert set(SENTENCES) >= {code for _, expected in [*SINGLE.values(), *CHAINS.values()] for code in expected}
