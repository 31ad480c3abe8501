"""The package of a statement: made from signed work, and verified to the cent."""

import subprocess
import sys
from base64 import b64decode

import msgspec
import pytest

from billing.models import RatedUsage
from billing.records import package as statement_package
from billing.verifier import cli
from billing.verifier import format as form
from compute.models import ClassFigures, HardwareClass, MeterRecord
from tests import factories
from tests.billing.records.helpers import (
    CENT,
    COMPUTE_MS,
    checked,
    close_statement,
    package,
    tariff,
    unpacked,
    void,
    work,
)
from tests.compute.helpers import execute, unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def cars():
    return [factories.make_car(), factories.make_car()]


@pytest.fixture
def owner(cars):
    return cars[0].node.vehicle.owner


def test_what_was_paid_follows_from_what_was_signed(cars, owner, tmp_path):
    work(cars)
    statement = close_statement(owner)
    data = package(statement)
    report = checked(data, tmp_path)
    assert report.findings == []
    assert (report.records, report.links, report.missing) == (3, 2, [])
    assert report.total.amount_micro == statement.earned_micro > 0
    assert report.ocmf == 1
    (line,) = report.nodes
    assert line.public_key == cars[0].node.public_key
    records = [msgspec.json.decode(each, type=form.Record) for each in unpacked(data)[form.RECORDS].splitlines()]
    stored = MeterRecord.objects.filter(node=cars[0].node).order_by("seq")
    assert [b64decode(r.record) for r in records] == [bytes(r.record) for r in stored]
    assert package(statement) == data  # the same statement, the same bytes


def test_the_program_says_so(cars, owner, tmp_path):
    """Run `driveway-verify` as an owner does: in another process, without Django and without the site."""
    work(cars)
    path = tmp_path / "records.zip"
    path.write_bytes(package(close_statement(owner)))
    probe = (
        "import sys; from billing.verifier.cli import main; code = main(sys.argv[1:]);"
        "assert not {'django', 'marketplace', 'accounts', 'celery'} & set(sys.modules); sys.exit(code)"
    )
    key = ["--key", cars[0].node.public_key.upper()]
    done = subprocess.run([sys.executable, "-c", probe, str(path), *key], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "recomputed = paid"
    assert cars[0].node.public_key in done.stdout


def test_a_folder_is_as_good_and_a_strange_key_is_told(cars, owner, tmp_path, capsys):
    work(cars)
    for name, data in unpacked(package(close_statement(owner))).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert cli.main([str(tmp_path)]) == 0
    assert cli.main([str(tmp_path), "--key", "ab" * 32, "--platform-key", "cd" * 32, "--json"]) == 1
    report = msgspec.json.decode(capsys.readouterr().out.split("recomputed = paid\n")[1])
    assert {finding["code"] for finding in report["findings"]} == {"node_key", "platform_key"}
    assert report["verdict"] == "recomputed != paid"


def test_bounds_that_were_applied_are_computed_again_after_a_class_was_recalibrated(cars, owner, tmp_path):
    work(cars, compute_ms=10**6, energy_mwh=10**6)  # the bound is three times the trial's time: 4 items of 10 s
    with unguarded():  # everything in this test happens in one transaction: date it yesterday
        execute("UPDATE compute_classfigures SET valid_from_at = now() - interval '2 days'")
        execute("UPDATE compute_node SET created_at = now() - interval '2 days'")
        execute("UPDATE compute_usagerecord SET created_at = now() - interval '1 day'")
    HardwareClass.objects.update(slowness_permille=4000, power_mw=1)
    work(cars, compute_ms=10**6, energy_mwh=10**6)
    assert ClassFigures.objects.count() == 2
    statement = close_statement(owner)
    report = checked(package(statement), tmp_path)
    assert report.findings == []
    assert statement.compute_ms == report.total.compute_ms == 3 * 120_000 + 3 * 480_000


def test_a_void_takes_back_what_its_record_was_paid(cars, owner, tmp_path):
    work(cars)
    first = close_statement(owner)
    rated = RatedUsage.objects.filter(usage__owner=owner).earliest("id")
    void(rated)
    second = close_statement(owner)
    assert second.corrected_micro == -rated.owner_micro < 0
    assert checked(package(first), tmp_path).findings == []  # a closed statement does not change
    report = checked(package(second), tmp_path)
    assert report.findings == []
    assert (report.records, report.voids, report.stated_micro) == (0, 1, 0)


def test_work_elsewhere_in_the_chain_is_named(cars, owner, tmp_path):
    work(cars)
    lost = factories.lease_to(cars[0])
    cars[0].sync(reports=(cars[0].report(lost, outcome="error", code="oom", energy_mwh=7),), available=False)
    close_statement(owner)
    work(cars)
    lost = factories.lease_to(cars[0])
    cars[0].sync(reports=(cars[0].report(lost, outcome="error", code="oom", energy_mwh=7),), available=False)
    work(cars)
    report = checked(package(close_statement(owner)), tmp_path)
    assert report.findings == []
    assert [(gap.first_seq, gap.last_seq, gap.why) for gap in report.gaps] == [
        (8, 8, {"not paid: ended with error": 1})
    ]
    assert (report.links, report.ocmf) == (4, 2)


def test_a_payout_is_all_whole_coins(cars, owner, tmp_path):
    work(cars, items=24, unit_items=8, compute_ms=6 * COMPUTE_MS)
    statement = close_statement(owner, pay=True)
    assert (statement.paid_out_micro, statement.earned_micro) == (CENT, CENT + statement.carried_micro)
    assert checked(package(statement), tmp_path).findings == []


def test_costs_are_shown_by_the_tariff_that_was_in_force(cars, owner, tmp_path):
    work(cars, energy_mwh=100)
    statement = close_statement(owner)
    assert checked(package(statement), tmp_path).costs_settled == 0
    tariff(owner, 999_999)
    report = checked(package(statement), tmp_path)
    assert (report.findings, report.costs_settled) == ([], 3)


def test_an_empty_statement_is_a_package_too(cars, owner, tmp_path):
    work(cars)
    close_statement(owner)
    report = checked(package(close_statement(owner)), tmp_path)
    assert (report.findings, report.records, report.ocmf) == ([], 0, 0)


def test_it_is_written_while_it_is_sent(cars, owner, monkeypatch):
    work(cars)
    monkeypatch.setattr(statement_package, "CHUNK_BYTES", 1)
    assert len(list(statement_package.chunks(close_statement(owner)))) > 5


def test_only_its_owner_downloads_it(cars, owner, client):
    work(cars)
    statement = close_statement(owner)
    path = f"/statements/{statement.public_id}/records.zip"
    for user, status in ((cars[1].node.vehicle.owner.user, 404), (owner.user, 200)):
        client.force_login(user)
        answer = client.get(path)
        assert answer.status_code == status
    assert answer["Content-Type"] == "application/zip"
    assert answer["Content-Disposition"] == 'attachment; filename="driveway-statement-1-records.zip"'
    assert factories.body_of(answer) == package(statement)


def test_the_keys_are_public(client, cars, owner, tmp_path):
    work(cars)
    report = checked(package(close_statement(owner)), tmp_path)
    keys = client.get("/statements/keys.json").json()
    assert keys["statements"]["keys"][0]["public_key"] == report.platform_key
    assert "BEGIN PUBLIC KEY" in keys["ocmf"]["public_key_pem"]
