from typing import ClassVar

from django.conf import settings
from django.db import models

from accounts.models import Organization, Owner
from billing.models.orders import JobOrder
from billing.models.statements import Statement
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class Dispute(PublicIdModel):
    """A customer's dispute of what a job cost, or an owner's dispute of a statement. An operator decides it.

    If it is upheld, corrections in the ledger move the money. (A payment that a cardholder disputes at the bank is a
    CardDispute.)
    """

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        UPHELD = "upheld", "Upheld"
        REJECTED = "rejected", "Not upheld"
        WITHDRAWN = "withdrawn", "Withdrawn"

    class Bearer(models.TextChoices):
        OWNER = "owner", "The owners of the work"
        PLATFORM = "platform", "Driveway"

    TRANSITIONS: ClassVar[Transitions] = {Status.OPEN: (Status.UPHELD, Status.REJECTED, Status.WITHDRAWN)}

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, related_name="disputes")
    order = models.ForeignKey(JobOrder, on_delete=models.PROTECT, null=True, related_name="disputes")
    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, null=True, related_name="disputes")
    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, null=True, related_name="disputes")
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.TextField(max_length=2000)
    claimed_micro = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    idempotency_key = models.CharField(max_length=300, unique=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    reserved_micro = models.BigIntegerField(default=0, help_text="Earnings held while it is open.")
    granted_micro = models.BigIntegerField(default=0)
    granted_promo_micro = models.BigIntegerField(
        default=0, db_default=0, help_text="The part of the grant that goes back to promotional credit."
    )
    bearer = models.CharField(max_length=16, choices=Bearer, blank=True, db_default="")
    decision = models.TextField(blank=True, db_default="", help_text="The decision, which both sides can read.")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(organization__isnull=False, order__isnull=False, owner=None, statement=None)
                | models.Q(organization=None, order=None, owner__isnull=False, statement__isnull=False),
                name="dispute_of_one_side",
            ),
            models.CheckConstraint(
                condition=models.Q(claimed_micro__gt=0, granted_micro__gte=0, reserved_micro__gte=0)
                & models.Q(granted_micro__lte=models.F("claimed_micro")),
                name="dispute_amounts",
            ),
            models.CheckConstraint(
                condition=models.Q(granted_promo_micro__gte=0, granted_promo_micro__lte=models.F("granted_micro")),
                name="dispute_promo",
            ),
            models.UniqueConstraint(fields=["order"], condition=models.Q(status="open"), name="dispute_open_order"),
            models.UniqueConstraint(
                fields=["statement"], condition=models.Q(status="open"), name="dispute_open_statement"
            ),
        ]

    def __str__(self) -> str:
        return f"dispute {self.public_id}"


class DisputeEvent(TransitionEvent):
    """One change of state of a dispute, written by the database."""

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="events")

    def __str__(self) -> str:
        return f"{self.from_status} -> {self.to_status}"


class DisputeMessage(models.Model):
    """A message about a dispute (evidence or an answer), by the side that opened it or by an operator. Append-only."""

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="messages")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    from_operator = models.BooleanField(default=False)
    text = models.TextField(max_length=4000)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"message {self.pk} of dispute {self.dispute_id}"
