"""Every table has a rule; due rows are deleted, others stay, and the report says so."""

import io
import os
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.models import DataExport, IdempotencyRecord, Mail
from accounts.owners import exports
from compute.models import AvailabilitySpan, EnrolmentCode, HealthDay, MeterRecord
from marketplace.privacy import archive, retention
from tests import factories

pytestmark = pytest.mark.django_db


def aged(queryset, column, days):
    """Move a time column of these rows back by some days and an hour."""
    queryset.update(**{column: timezone.now() - timedelta(days=days, hours=1)})


def test_every_table_of_the_site_is_named_once():
    tables = connection.introspection.table_names()
    assert sorted(rule.table for rule in retention.RULES) == sorted(tables)
    assert all(rule.why for rule in retention.RULES)


def test_columns_named_exist():
    with connection.cursor() as cursor:
        for rule in retention.RULES:
            if rule.column:
                cursor.execute(f"SELECT {rule.column} FROM {rule.table} LIMIT 0")


def test_what_is_due_goes_and_nothing_else(zenobia):
    job_records = MeterRecord.objects.count()
    IdempotencyRecord.objects.create(organization=factories.make_organization(), key="old", fingerprint="x")
    IdempotencyRecord.objects.create(organization=factories.make_organization(), key="new", fingerprint="x")
    aged(AvailabilitySpan.objects, "ended_at", 90)
    aged(HealthDay.objects, "day", 91)
    aged(EnrolmentCode.objects.filter(vehicle=zenobia.vehicle), "expires_at", 30)
    aged(IdempotencyRecord.objects.filter(key="old"), "created_at", 30)
    Mail.objects.update(sent_at=timezone.now())
    aged(Mail.objects.filter(kind="news"), "created_at", 180)
    lines = {line.rule.table: line for line in retention.run()}
    assert not AvailabilitySpan.objects.exists()
    assert not HealthDay.objects.exists()
    assert not EnrolmentCode.objects.filter(vehicle=zenobia.vehicle).exists()
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["new"]
    assert not Mail.objects.filter(kind="news").exists()
    assert lines["accounts_idempotencyrecord"].deleted == lines["accounts_idempotencyrecord"].due == 1
    assert MeterRecord.objects.count() == job_records
    assert all(line.due == 0 for line in retention.run(dry_run=True) if line.rule.action != retention.KEEP)


def test_a_mail_that_was_never_sent_is_not_lost(zenobia):
    aged(Mail.objects.filter(kind="news"), "created_at", 400)
    retention.run()
    assert Mail.objects.filter(kind="news").exists()


def test_many_rows_go_in_batches(zenobia, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    organization = factories.make_organization()
    IdempotencyRecord.objects.bulk_create(
        IdempotencyRecord(organization=organization, key=str(n), fingerprint="x") for n in range(5)
    )
    aged(IdempotencyRecord.objects, "created_at", 31)
    lines = {line.rule.table: line for line in retention.run()}
    assert lines["accounts_idempotencyrecord"].deleted == 5


def test_files_of_exports_and_leftovers_of_killed_workers_go(zenobia, settings):
    row = exports.request(owner=zenobia.owner, actor=None)
    archive.build(export_id=row.pk)
    DataExport.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    abandoned = settings.EXPORT_ROOT / "making-dead"
    abandoned.mkdir()
    (abandoned / "archive.zip").write_bytes(b"half")
    fresh = settings.EXPORT_ROOT / "making-alive"
    fresh.mkdir()
    now, two_days_ago = time.time(), time.time() - 2 * 86_400
    os.utime(abandoned, (two_days_ago, two_days_ago))
    os.utime(fresh, (now, now))  # the file system's clock may differ from this process's clock
    retention.run()
    assert [path.name for path in settings.EXPORT_ROOT.iterdir()] == ["making-alive"]


def test_the_command_reports_and_a_dry_run_deletes_nothing(zenobia):
    aged(AvailabilitySpan.objects, "ended_at", 90)
    out = io.StringIO()
    call_command("retention", "--dry-run", stdout=out)
    (line,) = [line for line in out.getvalue().splitlines() if line.startswith("compute_availabilityspan")]
    assert line.split()[1:6] == ["90", "days", "delete", "1", "0"]
    assert AvailabilitySpan.objects.exists()
    call_command("retention", stdout=io.StringIO())
    assert not AvailabilitySpan.objects.exists()
