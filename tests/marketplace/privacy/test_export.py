"""An owner's archive is complete, verifiable without Driveway, made once, and never left half written."""

import csv
import json
import subprocess
import sys
import threading
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.models import AccessEvent, ConsentRecord, DataExport, Mail
from accounts.owners import exports
from compute.models import MeterRecord
from marketplace.privacy import archive, inventory, signed_files, table_files
from tests import factories
from tests.marketplace.privacy.conftest import EMAIL, make_person

pytestmark = pytest.mark.django_db


def export(owner) -> DataExport:
    row = exports.request(owner=owner, actor=owner.user)
    assert archive.build(export_id=row.pk)
    row.refresh_from_db()
    return row


@pytest.fixture
def unpacked(zenobia, tmp_path):
    row = export(zenobia.owner)
    folder = tmp_path / "unpacked"
    zipfile.ZipFile(exports.path_of(row)).extractall(folder)
    return folder


def test_the_archive_holds_every_table_as_json_and_csv(zenobia, unpacked):
    for table in inventory.TABLES:
        name = inventory.file_name(table)
        rows = json.loads((unpacked / "tables" / f"{name}.json").read_text())
        lines = list(csv.DictReader((unpacked / "tables" / f"{name}.csv").open(newline="")))
        assert len(rows) == len(lines), name
        assert all(set(row) == set(table.columns) for row in rows)
    (user,) = json.loads((unpacked / "tables" / "accounts_user.json").read_text())
    assert user["email"] == EMAIL
    for name in (
        "compute_attempt",
        "compute_meterrecord",
        "compute_usagerecord",
        "billing_ratedusage",
        "billing_ledgertransfer-credit",
    ):
        assert json.loads((unpacked / "tables" / f"{name}.json").read_text()), name


def test_secrets_are_named_and_not_given(zenobia, unpacked):
    (user,) = json.loads((unpacked / "tables" / "accounts_user.json").read_text())
    (factor,) = json.loads((unpacked / "tables" / "mfa_authenticator.json").read_text())
    assert user["password"] == factor["data"] == table_files.WITHHELD


def test_it_verifies_with_its_own_program(zenobia, unpacked):
    """The program in the archive checks digests, chains and signatures, alone in its folder."""
    ran = subprocess.run([sys.executable, "verify.py"], cwd=unpacked, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    consents, meters = (
        ConsentRecord.objects.filter(owner=zenobia.owner).count(),
        MeterRecord.objects.filter(node=zenobia.car.node).count(),
    )
    assert f"{consents} consent records, {meters} meter records" in ran.stdout
    assert consents == 4
    assert meters == 1


@pytest.mark.parametrize("name", ["consents/records.jsonl", "meter-records/records.jsonl", "tables/accounts_owner.csv"])
def test_a_changed_byte_is_found(zenobia, unpacked, name):
    path = unpacked / name
    path.write_text(path.read_text().replace("1", "2"))
    assert subprocess.run([sys.executable, "verify.py"], cwd=unpacked, capture_output=True).returncode == 1


def test_nothing_of_others_is_in_it(zenobia, tmp_path):
    other = make_person("other@example.org", "Otto Otherman", "1M8GDM9AXKP042789")
    row = export(other.owner)
    with zipfile.ZipFile(exports.path_of(row)) as file:
        everything = b"".join(file.read(name) for name in file.namelist())
    assert b"Otto Otherman" in everything
    assert EMAIL.encode() not in everything
    assert str(zenobia.owner.public_id).encode() not in everything


def test_when_it_is_ready_a_mail_goes_out_and_the_log_says_so(zenobia):
    row = export(zenobia.owner)
    assert row.status == "ready"
    assert row.expires_at - row.ready_at == timedelta(days=7)
    assert row.size_bytes == exports.path_of(row).stat().st_size
    assert Mail.objects.get(kind="export-ready").context["export"] == str(row.public_id)
    event = AccessEvent.objects.get(owner=zenobia.owner)
    assert (event.kind, event.actor) == ("export", None)


def test_only_the_server_can_read_the_file(zenobia):
    row = export(zenobia.owner)
    assert exports.path_of(row).stat().st_mode & 0o077 == 0
    assert exports.path_of(row).parent.stat().st_mode & 0o077 == 0


def test_asking_again_while_one_is_made_is_the_same_one(zenobia):
    first = exports.request(owner=zenobia.owner, actor=zenobia.user)
    assert exports.request(owner=zenobia.owner, actor=zenobia.user) == first
    assert archive.build(export_id=first.pk)
    assert not archive.build(export_id=first.pk)  # the task runs a second time
    assert exports.request(owner=zenobia.owner, actor=zenobia.user) != first


def test_a_crash_leaves_no_half_file_and_it_can_be_asked_for_again(zenobia, monkeypatch, settings):
    row = exports.request(owner=zenobia.owner, actor=zenobia.user)

    def broken(owner, file):
        file.write("half")
        raise RuntimeError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(signed_files, "write_meter_records", broken)
        assert not archive.build(export_id=row.pk)
    row.refresh_from_db()
    assert (row.status, row.status_code) == ("failed", "export_failed")
    assert list(Path(settings.EXPORT_ROOT).iterdir()) == []
    assert export(zenobia.owner).status == "ready"


def test_expired_files_are_deleted_and_the_entry_stays(zenobia):
    row = export(zenobia.owner)
    DataExport.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    assert exports.expire() == 1
    assert exports.expire() == 0
    row.refresh_from_db()
    assert row.status == "expired"
    assert not exports.path_of(row).exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_make_one_archive():
    owner = factories.make_owner()
    row = exports.request(owner=owner, actor=owner.user)
    answers, gate = [], threading.Barrier(2)

    def build():
        gate.wait()
        answers.append(archive.build(export_id=row.pk))
        connections.close_all()

    threads = [threading.Thread(target=build) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(answers) == [False, True]
    assert exports.path_of(row).exists()
    assert AccessEvent.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM accounts_dataexport")
        assert cursor.fetchall() == [("ready",)]
