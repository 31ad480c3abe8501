"""Exports of an owner's data: request, finish, download, expire. marketplace/privacy/archive.py writes the archive."""

from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.access import trail as access
from accounts.mails import outbox
from accounts.models import DataExport, ErasureRequest, Owner, User
from core.errors import Conflict
from core.states import transition

Status = DataExport.Status


@transaction.atomic
def request(*, owner: Owner, actor: User | None) -> DataExport:
    """Request an archive of all data about the owner. While one is being made, return that one.

    Raises Conflict `erased` for an erased account, or Conflict `erasure_begun` if its erasure is due. The erasure's
    last step locks the owner's row as well, so no export can begin during it.
    """
    owner = Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if owner.erased_at:
        raise Conflict("This account has been erased.", code="erased")
    if owner.erasures.filter(status=ErasureRequest.Status.SCHEDULED, due_at__lte=timezone.now()).exists():
        raise Conflict("The erasure of this account has begun: no export can be made.", code="erasure_begun")
    try:
        with transaction.atomic():
            row = DataExport.objects.create(owner=owner)
            audit.record(actor=actor, action="export.request", subject=owner.public_id)
            return row
    except IntegrityError:  # a unique constraint allows one requested export for each owner
        return DataExport.objects.get(owner=owner, status=Status.REQUESTED)


def path_of(export: DataExport) -> Path:
    """Return the path of an export's file. Its name is the export's random id; its folder is not served to the web."""
    return Path(settings.EXPORT_ROOT) / f"{export.public_id}.zip"


def mark_ready(*, export: DataExport, size_bytes: int, sha256: str) -> None:
    """Mark an export as ready once its file is in place. Record it in the access trail and mail the owner."""
    now = timezone.now()
    transition(
        export,
        Status.READY,
        ready_at=now,
        expires_at=now + timedelta(days=settings.EXPORT_DAYS),
        size_bytes=size_bytes,
        sha256=sha256,
    )
    access.record_export(owner=export.owner, actor=None, what="Everything held, into one archive")
    outbox.queue(
        user=export.owner.user,
        kind="export-ready",
        dedupe_key=f"export-ready:{export.pk}",
        context={"export": str(export.public_id), "days": settings.EXPORT_DAYS},
    )


def mark_failed(*, export: DataExport, code: str) -> None:
    """Mark a requested export as failed, with the reason `code`. The owner may request another. Other states stay."""
    DataExport.objects.filter(pk=export.pk, status=Status.REQUESTED).update(status=Status.FAILED, status_code=code)


@transaction.atomic
def record_download(*, export: DataExport, actor: User) -> None:
    """Record that the archive was downloaded."""
    DataExport.objects.filter(pk=export.pk).update(downloaded_at=timezone.now())
    access.record_export(owner=export.owner, actor=actor, what="Download of the archive")


def expire(*, owner: Owner | None = None) -> int:
    """Delete the files of expired exports; with `owner`, all files of that owner. Return how many exports ended.

    The file is deleted before the row changes. A crash in between leaves a ready export without a file, which the next
    call ends; the other order could leave a file for ever.
    """
    ready = DataExport.objects.filter(status=Status.READY)
    ready = ready.filter(owner=owner) if owner else ready.filter(expires_at__lte=timezone.now())
    count = 0
    for export in ready.iterator():
        path_of(export).unlink(missing_ok=True)
        count += DataExport.objects.filter(pk=export.pk, status=Status.READY).update(
            status=Status.EXPIRED, status_code="erased" if owner else ""
        )
    return count
