"""Downloading receipts, and verifying them on the page and with the command, without an account."""

import io
import json
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import ConsentRecord
from accounts.receipts import service as receipts
from accounts.receipts.keys import fingerprint
from accounts.receipts.verification import verify
from core.errors import Conflict
from tests import factories
from tests.compute.helpers import execute

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    owner = factories.make_owner("alice@example.com")
    car = factories.make_vehicle(owner)
    factories.decide(car, "withdrawn")
    factories.decide(car, "refused", "availability")
    return owner


@pytest.fixture
def chain(alice):
    return receipts.chain_text(alice)


def command(*arguments):
    """Return (exit code, output) of the command verify_receipt."""
    out = io.StringIO()
    try:
        call_command("verify_receipt", *arguments, stdout=out)
    except SystemExit as error:
        return error.code, out.getvalue()
    return 0, out.getvalue()


def check(**fields):
    return Client(enforce_csrf_checks=True).post("/receipts/verify", fields)


def without(chain, index):
    document = json.loads(chain)
    del document["receipts"][index]
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)


# --- downloading ------------------------------------------------------------------------------------------------------


def test_an_owner_downloads_each_receipt_and_all_of_them(alice, client_of):
    client = client_of(alice.user)
    for record in ConsentRecord.objects.all():
        answer = client.get(f"/receipts/{record.public_id}.jsonld")
        assert answer["Content-Type"].startswith("application/ld+json")
        assert "attachment" in answer["Content-Disposition"]
        report = verify(answer.content, receipts.key_ring())
        assert report.is_valid
        assert report.receipts[0].receipt_id == str(record.public_id)
    report = verify(client.get("/receipts/").content, receipts.key_ring())
    assert report.is_valid
    assert [seen.seq for seen in report.receipts] == [1, 2, 3]
    assert report.complete_at


def test_the_receipts_of_a_car_that_is_gone_remain(alice, client_of):
    car = alice.vehicles.get()
    execute("UPDATE accounts_vehicle SET retired_at = now(), retired_code = 'sold' WHERE id = %s", car.pk)
    record = ConsentRecord.objects.first()
    assert client_of(alice.user).get(f"/receipts/{record.public_id}.jsonld").status_code == 200


def test_a_receipt_names_nobody(alice, chain):
    assert alice.user.email not in chain
    assert alice.name not in chain
    assert alice.vehicles.get().label not in chain


def test_a_key_that_has_been_replaced(alice, chain, settings):
    old = receipts.key_ring()
    settings.RECEIPT_SIGNING_KEY = "22" * 32
    with pytest.raises(Conflict, match="no longer listed"):
        receipts.chain_text(alice)
    settings.RECEIPT_RETIRED_PUBLIC_KEYS = [raw.hex() for raw in old.raw.values()]
    factories.decide(alice.vehicles.get(), "given")
    report = verify(receipts.chain_text(alice).encode(), receipts.key_ring())
    assert report.is_valid
    assert len({seen.key_id for seen in report.receipts}) == 2
    assert verify(chain.encode(), receipts.key_ring()).is_valid


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_checks_a_file_and_a_pasted_text_without_an_account(chain):
    for answer in (
        check(file=SimpleUploadedFile("receipts.jsonld", chain.encode())),
        check(text=chain),
        check(text=chain.replace("\n", "\r\n")),  # line ends as browsers send them
    ):
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "It holds" in text
        assert "3 receipts" in text
    assert not answer.cookies


def test_the_page_names_what_is_wrong(chain):
    text = check(text=without(chain, 1)).content.decode()
    assert "The check failed" in text
    assert "<code>gap</code>" in text
    assert "<code>end_missing</code>" in text
    text = check(text=chain.replace("run_jobs", "run_jobz", 1)).content.decode()
    assert "The check failed" in text


def test_the_page_publishes_the_keys():
    text = Client().get("/receipts/verify").content.decode()
    for name, raw in receipts.key_ring().raw.items():
        assert name in text
        assert raw.hex() in text


@pytest.mark.parametrize(
    ("fields", "status", "code"), [({}, 400, "nothing_sent"), ({"text": "  "}, 400, "nothing_sent")]
)
def test_nothing_to_check(fields, status, code):
    answer = check(**fields)
    assert answer.status_code == status
    assert code in answer.content.decode()


@pytest.mark.parametrize("size", [3 << 20, 9 << 20])
def test_too_much_is_refused_before_it_is_read(size):
    answer = check(text="x" * size)
    assert answer.status_code == 413
    assert "too_large" in answer.content.decode()
    if size > 8 << 20:
        assert check(file=SimpleUploadedFile("x", b"x" * size)).status_code == 413


@pytest.mark.parametrize("text", ["\0", "\ud800", "[" * 50_000, '{"a":1,"a":2}', "<script>alert(1)</script>"])
def test_hostile_text_gets_an_answer(text):
    answer = check(file=SimpleUploadedFile("x.jsonld", text.encode("utf-8", "surrogatepass")))
    assert answer.status_code == 200
    assert "The check failed" in answer.content.decode()
    assert "<script>alert" not in answer.content.decode()


def test_what_a_stranger_wrote_into_a_receipt_is_only_shown(chain):
    document = json.loads(chain)["receipts"][0]
    document["record"] |= {
        "purpose": {"<b>": 1},
        "vehicle": "<i>" * 500,
        "event": {"event_state": 7, "event_time": ["x"]},
    }
    answer = check(text=json.dumps(document))
    assert answer.status_code == 200
    assert "<i>" not in answer.content.decode()


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_that_it_holds_and_exits_with_nothing(tmp_path, chain):
    path = tmp_path / "receipts.jsonld"
    path.write_text(chain)
    code, output = command(str(path))
    assert code == 0
    assert "VALID: 3 receipts, complete as of" in output
    (name,) = receipts.key_ring().raw
    assert f"Signed with {name}" in output


def test_the_command_names_what_is_wrong_and_exits_with_one(tmp_path, chain):
    path = tmp_path / "receipts.jsonld"
    path.write_text(without(chain, 0))
    code, output = command(str(path))
    assert code == 1
    assert "[start_missing]" in output
    assert "NOT VALID" in output
    path.write_bytes(b"\xff")
    assert command(str(path))[0] == 1


def test_the_command_reads_standard_input_and_takes_a_key(monkeypatch, chain):
    (raw,) = receipts.key_ring().raw.values()
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    for key, expected in ((raw, 0), (stranger, 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(chain.encode())))
        code, output = command("-", "--public-key", key.hex())
        assert code == expected
        assert fingerprint(raw) in output
    with pytest.raises(CommandError, match="64 hex"):
        command("-", "--public-key", "zz")
    with pytest.raises(CommandError, match="cannot be read"):
        command("/nowhere/at/all")
