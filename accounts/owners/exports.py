"""Owners' exports: asked for, ready, downloaded, expired. What writes the archive is marketplace/privacy/archive.py."""

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
    """Ask for an archive of everything. While one is being made, asking again returns that one.

    Raises Conflict for an account that has been erased, or whose erasure is due: its last step holds the owner's row too.
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
    except IntegrityError:
        return DataExport.objects.get(owner=owner, status=Status.REQUESTED)


def path_of(export: DataExport) -> Path:
    """The file of a ready export: its name is its random id, its folder is nobody's but the server's."""
    return Path(settings.EXPORT_ROOT) / f"{export.public_id}.zip"


def mark_ready(*, export: DataExport, size_bytes: int, sha256: str) -> None:
    """The file is in its place. The owner is told by mail, and the export is in the log of who looked."""
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
    """It could not be made; the owner may ask again. An export that ended otherwise meanwhile stays as it is."""
    DataExport.objects.filter(pk=export.pk, status=Status.REQUESTED).update(status=Status.FAILED, status_code=code)


@transaction.atomic
def downloaded(*, export: DataExport, actor: User) -> None:
    """Write that the archive was handed out."""
    DataExport.objects.filter(pk=export.pk).update(downloaded_at=timezone.now())
    access.record_export(owner=export.owner, actor=actor, what="Download of the archive")


def expire(*, owner: Owner | None = None) -> int:
    """Delete the files of exports whose time is over (of an owner: all of theirs, whatever their time). Returns how many.

    The file goes first: a crash between the two leaves a row that says ready and is asked for in vain, never a file.
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
