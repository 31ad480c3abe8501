"""Celery tasks. Each calls one service and may run twice: it reads rows and does nothing when they are done."""

from celery import shared_task

from accounts.models import DataExport
from core import workers
from marketplace.privacy import archive, erasure, retention

# Seconds, for a long history or a search of a large database. The broker delivers a task again after
# `visibility_timeout`; the second run then finds its rows locked and skips them.
LIMIT_S = 4 * 3600


@shared_task(name="privacy.build_exports", time_limit=LIMIT_S, soft_time_limit=LIMIT_S - 60)
def build_exports() -> None:
    """Make the exports that are waiting, at most 20."""
    workers.begin("privacy.build_exports")
    waiting = DataExport.objects.filter(status=DataExport.Status.REQUESTED).order_by("id")
    for export_id in list(waiting.values_list("pk", flat=True)[:20]):
        archive.build(export_id=export_id)


@shared_task(name="privacy.erase_due", time_limit=LIMIT_S, soft_time_limit=LIMIT_S - 60)
def erase_due() -> None:
    """Carry out erasures that are due."""
    erasure.sweep()


@shared_task(name="privacy.retention")
def keep_retention() -> None:
    """Delete rows whose retention has ended."""
    retention.run()
