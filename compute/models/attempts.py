"""Attempts: one try of a work unit on one node."""

from typing import ClassVar

from django.db import models

from accounts.models import ConsentRecord, Owner, Vehicle
from compute.models.jobs import InferenceJob, WorkUnit
from compute.models.nodes import Node
from core.states import TransitionEvent, Transitions


class Attempt(models.Model):
    """One try of one unit on one node, under a lease with a fence, allowed by one consent record.

    The database refuses an attempt without that consent in force, a second live attempt of the same unit by the same
    owner, and every change of status that is not in TRANSITIONS. So a report that arrives after the end of the lease
    finds its attempt expired or cancelled and changes nothing.
    """

    class Status(models.TextChoices):
        LEASED = "leased"
        REPORTED = "reported"
        VALID = "valid"
        INVALID = "invalid"
        EXPIRED = "expired"
        CANCELLED = "cancelled"
        FAILED = "failed"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.LEASED: (Status.REPORTED, Status.EXPIRED, Status.CANCELLED, Status.FAILED),
        Status.REPORTED: (Status.VALID, Status.INVALID, Status.CANCELLED),
        Status.VALID: (Status.INVALID,),  # past work of a node that cheated, checked again
    }

    # No foreign keys in the database: the triggers attempt_consent and unit_copies_made check these columns against
    # each other for a whole batch. That checks more than foreign keys do and costs a tenth. The rows are never deleted.
    unit = models.ForeignKey(
        WorkUnit, on_delete=models.PROTECT, related_name="attempts", db_constraint=False, db_index=False
    )
    job = models.ForeignKey(InferenceJob, on_delete=models.PROTECT, related_name="attempts", db_constraint=False)
    node = models.ForeignKey(
        Node, on_delete=models.PROTECT, related_name="attempts", db_constraint=False, db_index=False
    )
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    consent_record = models.ForeignKey(ConsentRecord, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    fence = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=Status, default=Status.LEASED)
    status_code = models.CharField(max_length=64, blank=True, default="", db_default="")
    leased_at = models.DateTimeField(db_default=models.functions.Now())
    expires_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    cancel_sent_at = models.DateTimeField(null=True)
    result_sha256 = models.CharField(max_length=64, blank=True, db_default="")
    result = models.BinaryField(null=True)  # small results only; larger ones are blobs

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["unit", "fence"], name="attempt_fence_once"),
            models.UniqueConstraint(
                fields=["unit", "owner"],
                condition=models.Q(status__in=["leased", "reported", "valid"]),
                name="attempt_one_live_by_owner",
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=models.Q(status="leased"), name="attempt_leased"),
            models.Index(fields=["node"], condition=models.Q(status="leased"), name="attempt_held_by_node"),
            models.Index(
                fields=["node"], condition=models.Q(status="leased", delivered_at=None), name="attempt_undelivered"
            ),
            models.Index(
                fields=["node"],
                condition=models.Q(status="cancelled", cancel_sent_at=None),
                name="attempt_cancel_unsent",
            ),
            models.Index(fields=["unit"], condition=models.Q(status="reported"), name="attempt_unverified"),
            models.Index(fields=["vehicle", "-id"], name="attempt_by_vehicle"),
        ]

    def __str__(self) -> str:
        return f"{self.unit_id}#{self.fence}"


class AttemptEvent(TransitionEvent):
    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="events", db_constraint=False)
