"""Every change of a package is found, made by someone who cannot sign or by a platform that signs false data."""

import contextlib
import io
import struct
import tempfile
import zipfile
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.models import RatedUsage
from billing.stripe.amounts import DIGITS
from billing.verifier import cli, source, sums
from billing.verifier import format as form
from billing.verifier.errors import Unreadable
from billing.verifier.keys import SMALL_ORDER
from compute import protocol
from tests import factories, leftovers
from tests.billing.records.helpers import (
    COMPUTE_MS,
    checked,
    close_statement,
    codes,
    package,
    packed,
    sealed,
    unpacked,
    void,
    with_record,
    work,
)
from tests.long import examples


class Case:
    """The package of one statement, made once, with two runs, a gap, a void and a payout."""

    def __init__(self) -> None:
        cars = [factories.make_car(), factories.make_car()]
        owner = cars[0].node.vehicle.owner
        work(cars, compute_ms=COMPUTE_MS)
        void(RatedUsage.objects.filter(usage__owner=owner).earliest("id"))
        close_statement(owner)
        work(cars, items=24, unit_items=8, compute_ms=6 * COMPUTE_MS, energy_mwh=500)
        lost = factories.lease_to(cars[0])
        cars[0].sync(reports=(cars[0].report(lost, outcome="error", code="oom"),), available=False)
        work(cars)
        void(RatedUsage.objects.filter(usage__owner=owner).latest("id"))
        self.car = cars[0]
        self.data = package(close_statement(owner, pay=True))
        self.files = unpacked(self.data)


@pytest.fixture(scope="module")
def case(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Any:
    from django.test import override_settings

    with (
        leftovers.rolled_back(django_db_blocker),
        override_settings(BLOB_ROOT=tmp_path_factory.mktemp("blobs")),
    ):
        yield Case()


def test_it_holds_untouched(case, tmp_path):
    report = checked(case.data, tmp_path)
    assert report.findings == []
    assert (report.records, len(report.gaps), report.voids, report.ocmf) == (6, 1, 1, 2)
    assert checked(sealed(case.files), tmp_path).findings == []


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_found(case, data):
    name = data.draw(st.sampled_from(form.FILES))
    at = data.draw(st.integers(0, len(case.files[name]) - 1))
    mask = data.draw(st.integers(1, 255))
    changed = bytearray(case.files[name])
    changed[at] ^= mask
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Unreadable):
        assert not checked({**case.files, name: bytes(changed)}, Path(folder)).holds


def at(path: str, value: Any) -> Any:
    """Return a function that changes one field of a JSON object. A callable `value` gets the old value."""

    def change(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for step in way:
            document = document[int(step) if step.isdigit() else step]
        document[last] = value(document[last]) if callable(value) else value

    return change


OTHER_ID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
LIES_IN_RECORDS = {
    "event.data.amounts.owner_micro": (lambda n: n + 1, "amount"),
    "event.data.compute_ms": (lambda n: n - 1, "time"),
    "event.data.energy_mwh": (lambda n: n + 1, "energy"),
    "event.data.items": (lambda n: n + 1, "not_what_was_signed"),
    "event.data.attempt": (lambda n: n + 1, "not_what_was_signed"),
    "event.data.prices.micro_per_hour": (lambda n: n - 100, "amount"),
    "event.data.prices.micro_per_kwh": (10**9, "amount"),
    "event.data.prices.owner_share_permille": (699, "amount"),
    "event.data.prices.currency": ("EUR", "currency"),
    "event.id": (OTHER_ID, "event_id"),
    "event.source": ("/nodes/x", "event_id"),
    "event.subject": (OTHER_ID, "ocmf_missing"),
    "event.time": ("2020-01-01T00:00:00Z", "before_enrolment"),
    "bound.items": (lambda n: n - 1, "not_what_was_signed"),
    "bound.us_per_item": (1, "time"),
    "bound.slowness_permille": (1, "time"),
    "bound.paid_time_permille": (1, "time"),
    "bound.power_mw": (0, "energy"),
    "costs.energy_cost_nano": (lambda n: n + 1, "costs"),
    "costs.tariff_micro_per_kwh": (lambda n: n + 1000, "costs"),
    "costs.wear_nano": (lambda n: n + 1, "costs"),
    "costs.wear_micro_per_kwh": (lambda n: n + 1000, "costs"),
    "seq": (lambda n: n + 100, "record_twice"),
    "node": (OTHER_ID, "node_unknown"),
    "transfer": (OTHER_ID, "transfer_unknown"),
    "line.service_month": ("2020-01-01", "line"),
    "record": (lambda text: text[:-8] + "AAAAAA==", "signature_invalid"),
    "signature": (lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), "signature_invalid"),
}


@pytest.mark.parametrize("path", LIES_IN_RECORDS)
def test_a_platform_that_lies_about_a_record_is_found(case, tmp_path, path):
    value, code = LIES_IN_RECORDS[path]
    report = checked(sealed(with_record(case.files, at(path, value))), tmp_path)
    assert code in codes(report)


LIES_IN_MANIFEST = {
    "statement.earned_micro": (lambda n: n - 1, "earned"),
    "statement.corrected_micro": (lambda n: n + 1, "corrected"),
    "statement.other_micro": (5, "other"),
    "statement.paid_out_micro": (lambda n: n - 10_000, "payout"),
    "statement.carried_micro": (lambda n: n - 1, "carried"),
    "statement.opening_micro": (lambda n: n + 1, "carried"),
    "statement.compute_ms": (lambda n: n + 1, "quantities"),
    "statement.attempts": (lambda n: n + 1, "quantities"),
    "entries.0.amount_micro": (lambda n: n + 1, "transfer"),
    "entries.0.kind": ("gift", "kind_unknown"),
    "lines.0.amount_micro": (lambda n: n - 1, "line"),
    "lines.0.compute_ms": (lambda n: n + 1, "line"),
    "payout.amount_micro": (lambda n: n - 1, "payout_coins"),
    "payout.transfer": (OTHER_ID, "payout"),
    "nodes.0.public_key": ("ab" * 32, "signature_invalid"),
    "gaps": ([], "gap_unnamed"),
    "gaps.0.why": ({"lost": 7}, "gap_unnamed"),
    "entries": (lambda rows: [*rows, rows[0]], "transfer_twice"),
    "lines": (lambda rows: [*rows, rows[0]], "line_twice"),
    "nodes": (lambda rows: rows * 2, "node_twice"),
    "files": (lambda files: {name: files[name] for name in list(files)[1:]}, "files"),
}


@pytest.mark.parametrize("path", LIES_IN_MANIFEST)
def test_a_platform_that_lies_about_the_statement_is_found(case, tmp_path, path):
    value, code = LIES_IN_MANIFEST[path]
    report = checked(sealed(case.files, at(path, value)), tmp_path)
    assert code in codes(report)


def resigned(case: Case, **fields: Any) -> Any:
    """Return a function that changes a record and lets the car sign it again: only the chain shows the change."""

    def change(line: dict[str, Any]) -> None:
        payload = msgspec.structs.replace(protocol.unpack_meter(b64decode(line["record"])), **fields)
        record = protocol.meter_bytes(payload)
        line["record"] = b64encode(record).decode()
        line["signature"] = case.car.key.sign(protocol.signed_bytes(record)).hex()

    return change


def test_a_car_that_signs_other_history_breaks_its_chain(case, tmp_path):
    report = checked(sealed(with_record(case.files, resigned(case, output="e" * 64))), tmp_path)
    assert codes(report) == {"chain_broken"}
    report = checked(sealed(with_record(case.files, resigned(case, energy_mwh=1))), tmp_path)
    assert {"energy", "chain_broken", "ocmf_energy"} <= codes(report)


def test_a_record_left_out_or_paid_twice_is_found(case, tmp_path):
    lines = case.files[form.RECORDS].splitlines(keepends=True)
    shorter = {**case.files, form.RECORDS: b"".join(lines[1:])}
    assert {"transfer", "line", "ocmf_energy"} <= codes(checked(sealed(shorter), tmp_path))
    longer = {**case.files, form.RECORDS: b"".join([lines[0], *lines])}
    assert {"record_twice", "attempt_twice", "transfer", "line"} <= codes(checked(sealed(longer), tmp_path))
    doubled = {**case.files, form.VOIDS: case.files[form.VOIDS] * 2}
    assert "void_twice" in codes(checked(sealed(doubled), tmp_path))
    without = {**case.files, form.VOIDS: b""}
    report = checked(sealed(without), tmp_path)
    assert (report.findings, report.stated_micro < 0) == (
        [],
        True,
    )  # not a finding, but reported: an entry without a record


def test_ocmf_records_must_be_those_of_the_work(case, tmp_path):
    lines = case.files[form.OCMF_RECORDS].splitlines(keepends=True)
    for changed, code in (
        (lines[1:], "ocmf_missing"),
        ([*lines, lines[0]], "ocmf_twice"),
        ([lines[0].replace(b'"RV":0.', b'"RV":1.', 1), lines[1]], "ocmf_signature"),
        ([b"x\n", *lines], "ocmf_signature"),
    ):
        assert code in codes(checked(sealed({**case.files, form.OCMF_RECORDS: b"".join(changed)}), tmp_path))
    assert "ocmf_key" in codes(checked(sealed({**case.files, form.OCMF_KEY: b"no key"}), tmp_path))


def test_a_key_that_signs_everything_is_no_key(case, tmp_path):
    assert len(SMALL_ORDER) == 14
    for raw in SMALL_ORDER:
        report = checked(sealed(case.files, at("nodes.0.public_key", raw.hex())), tmp_path)
        assert "signature_invalid" in codes(report)


def test_a_stranger_cannot_seal(case, tmp_path):
    manifest = case.files[form.MANIFEST]
    seal = msgspec.json.decode(case.files[form.SEAL])
    seal["signature"] = Ed25519PrivateKey.generate().sign(form.SIGNING_DOMAIN + manifest).hex()
    report = checked({**case.files, form.SEAL: msgspec.json.encode(seal)}, tmp_path)
    assert codes(report) == {"platform_signature"}


# --- hostile packages -------------------------------------------------------------------------------------------------


def bomb(case: Case) -> bytes:
    return packed({**case.files, form.README: b"\0" * (20 * 1024**2)})


def many(case: Case) -> bytes:
    return packed((f"{n}.txt", b"") for n in range(2000))


def encrypted(case: Case) -> bytes:
    data = bytearray(packed(case.files))
    end = data.rindex(b"PK\x01\x02")
    data[end + 8] |= 1
    return bytes(data)


def lzma(case: Case) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as file:
        for name, data in case.files.items():
            file.writestr(name, data)
    return buffer.getvalue()


def lying_size(case: Case) -> bytes:
    """Return a zip whose directory gives a wrong, small size for the manifest."""
    data = bytearray(packed(case.files))
    at_directory = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, at_directory + 24, 5)
    return bytes(data)


def with_file(name: str, data: bytes) -> Any:
    return lambda case: packed({**case.files, name: data})


HOSTILE = {
    "bomb": (bomb, "too_large"),
    "many files": (many, "too_many_files"),
    "encrypted": (encrypted, "not_a_zip"),
    "lzma": (lzma, "not_a_zip"),
    "size is a lie": (lying_size, None),
    "path upwards": (with_file("../../etc/passwd", b"x"), None),
    "absolute path": (with_file("/etc/passwd", b"x"), None),
    "unknown file": (lambda case: packed({"x.txt": b"x"}), "file_unknown"),
    "twice": (
        lambda case: packed({form.README: b"x", "README.tx_": b"y"}).replace(b"README.tx_", b"README.txt"),
        "file_twice",
    ),
    "missing": (lambda case: packed({form.README: b"x"}), "file_missing"),
    "empty": (lambda case: b"", "not_a_zip"),
    "cut": (lambda case: case.data[:-100], "not_a_zip"),
    "tail": (lambda case: case.data + b"x", "not_a_zip"),
    "no json": (with_file(form.MANIFEST, b"{"), "malformed"),
    "no text": (with_file(form.MANIFEST, b'{"format":"\xff\xfe"}'), "malformed"),
    "deep": (with_file(form.RECORDS, b"[" * 60_000 + b"\n"), "malformed"),
    "long line": (with_file(form.RECORDS, b"x" * 100_000 + b"\n"), "line_too_long"),
    "no end": (with_file(form.RECORDS, b"{}"), "cut_short"),
    "huge number": (
        lambda case: packed(
            {
                **case.files,
                form.MANIFEST: case.files[form.MANIFEST].replace(b'"number":', b'"number":' + b"9" * 4000, 1),
            }
        ),
        "malformed",
    ),
    "not a number": (
        lambda case: packed(
            {**case.files, form.MANIFEST: case.files[form.MANIFEST].replace(b'"number":', b'"number":-', 1)}
        ),
        "malformed",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_package_is_refused_with_a_code(case, tmp_path, capsys, kind):
    make, code = HOSTILE[kind]
    path = tmp_path / "records.zip"
    path.write_bytes(make(case))
    assert cli.main([str(path), "--json"]) == cli.UNREADABLE
    answer = msgspec.json.decode(capsys.readouterr().out)
    assert code in (None, answer["error"]["code"])
    assert cli.main([str(path)]) == cli.UNREADABLE
    assert answer["error"]["code"] in capsys.readouterr().err


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_broken_zips_never_crash(case, data):
    broken = bytearray(case.data)
    for _ in range(data.draw(st.integers(1, 5))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Unreadable):
        checked(bytes(broken), Path(folder))


def test_a_link_in_a_folder_leads_nowhere(case, tmp_path):
    for name, data in case.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / form.README).unlink()
    (tmp_path / form.README).symlink_to("/etc/passwd")
    assert cli.main([str(tmp_path)]) == cli.UNREADABLE
    assert cli.main([str(tmp_path / "nothing.zip")]) == cli.UNREADABLE


def test_a_strangers_words_do_not_steer_the_terminal(case, tmp_path, capsys):
    path = tmp_path / "records.zip"
    path.write_bytes(packed(sealed(case.files, at("issuer", "\x1b[2J evil"))))
    cli.main([str(path)])
    assert "\x1b" not in capsys.readouterr().out


def test_coins_are_those_of_the_site():
    assert sums.DIGITS == DIGITS
    assert source.LINE_MAX_BYTES > 20_000 + 4_000
