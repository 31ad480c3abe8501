"""Owners' requests for a copy of their data or for its erasure."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from accounts.models.owners import Owner
from core.models import PublicIdModel
from core.states import Transitions


class DataExport(PublicIdModel):
    """One archive of all data about an owner. A worker makes it; its file is deleted after EXPORT_DAYS."""

    class Status(models.TextChoices):
        REQUESTED = "requested"
        READY = "ready"
        FAILED = "failed"
        EXPIRED = "expired"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.REQUESTED: (Status.READY, Status.FAILED),
        Status.READY: (Status.EXPIRED,),
    }

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="exports")
    status = models.CharField(max_length=16, choices=Status, default=Status.REQUESTED)
    status_code = models.CharField(max_length=64, blank=True)
    ready_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    downloaded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner"], condition=models.Q(status="requested"), name="data_export_one_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"export {self.public_id} ({self.status})"

    @property
    def is_downloadable(self) -> bool:
        return self.status == self.Status.READY and self.expires_at is not None and self.expires_at > timezone.now()


class ErasureRequest(PublicIdModel):
    """An owner's request to be erased.

    It can be cancelled during a cooling-off period; then it is carried out and proved.
    """

    class Status(models.TextChoices):
        SCHEDULED = "scheduled"
        CANCELLED = "cancelled"
        DONE = "done"

    TRANSITIONS: ClassVar[Transitions] = {Status.SCHEDULED: (Status.CANCELLED, Status.DONE)}

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="erasures")
    status = models.CharField(max_length=16, choices=Status, default=Status.SCHEDULED)
    status_code = models.CharField(max_length=64, blank=True)
    due_at = models.DateTimeField()
    # Until when the erasure waits for money that is owed to the owner; null: not checked yet. After this time it cannot
    # be cancelled.
    money_until_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # What was destroyed, what is kept and why, which places were searched and what was found. Without personal data;
    # signed.
    proof = models.JSONField(null=True)
    proof_signature = models.CharField(max_length=128, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner"], condition=models.Q(status="scheduled"), name="erasure_one_at_a_time"
            )
        ]
        indexes = [models.Index(fields=["due_at"], condition=models.Q(status="scheduled"), name="erasure_due")]

    def __str__(self) -> str:
        return f"erasure {self.public_id} ({self.status})"

    @property
    def waits_for_money(self) -> bool:
        return self.status == self.Status.SCHEDULED and bool(
            self.money_until_at and self.money_until_at > timezone.now()
        )
