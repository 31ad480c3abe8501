"""Operators' decisions about suspended nodes."""

from django.conf import settings
from django.db import models

from compute.models.metering import MeterConflict
from compute.models.nodes import Node
from core.models import PublicIdModel


class NodeDecision(PublicIdModel):
    """An operator's decision about a node that is suspended for meter conflicts. Append-only.

    It covers all conflicts up to `through`. `meter_seq` and `meter_hash` are the head of the node's chain at that time:
    a node that works again must continue after it. The database lets no node become active while its newest conflict is
    not lifted. The operator's reason is in the audit trail.
    """

    class Kind(models.TextChoices):
        LIFT = "lift", "Lifted"
        KEEP = "keep", "Kept suspended"
        RETIRE = "retire", "Retired"

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="decisions")
    through = models.ForeignKey(MeterConflict, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind)
    meter_seq = models.PositiveBigIntegerField()
    meter_hash = models.CharField(max_length=64)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    idempotency_key = models.CharField(max_length=80, unique=True)

    def __str__(self) -> str:
        return f"node {self.node_id}: {self.kind}"
