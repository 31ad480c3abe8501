"""Celery's doors. Every task looks at rows and does nothing when they are done."""

from celery import shared_task

from accounts.models import DataExport
from core import workers
from marketplace.privacy import archive, erasure, retention

LIMIT_S = (
    4 * 3600
)  # a long history, or a search of a large database; delivered again meanwhile, it finds its row locked


@shared_task(name="privacy.build_exports", time_limit=LIMIT_S, soft_time_limit=LIMIT_S - 60)
def build_exports() -> None:
    """Make every export that is waiting."""
    workers.begin("privacy.build_exports")
    waiting = DataExport.objects.filter(status=DataExport.Status.REQUESTED).order_by("id")
    for export_id in list(waiting.values_list("pk", flat=True)[:20]):
        archive.build(export_id=export_id)


@shared_task(name="privacy.erase_due", time_limit=LIMIT_S, soft_time_limit=LIMIT_S - 60)
def erase_due() -> None:
    erasure.sweep()


@shared_task(name="privacy.retention")
def keep_retention() -> None:
    retention.run()
