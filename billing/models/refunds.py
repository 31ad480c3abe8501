from typing import ClassVar

from django.conf import settings
from django.db import models

from accounts.models import Organization
from billing.models.ledger import LedgerTransfer
from billing.models.stripe_commands import StripeCommand
from billing.models.topups import TopUp
from core.locale import format_money
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class Refund(PublicIdModel):
    """A refund of unspent money to the card of one top-up, never more than what is left of that top-up.

    The wallet is debited when the refund is requested (`transfer`). If the refund fails, the money is credited again
    (`returned`).
    """

    class Status(models.TextChoices):
        REQUESTED = "requested", "Being sent"
        PENDING = "pending", "At the bank"
        SUCCEEDED = "succeeded", "Refunded"
        FAILED = "failed", "Failed, back in the wallet"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.REQUESTED: (Status.PENDING, Status.SUCCEEDED, Status.FAILED),
        Status.PENDING: (Status.SUCCEEDED, Status.FAILED),
        Status.SUCCEEDED: (Status.FAILED,),  # a bank may send the money back days later
    }

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="refunds")
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="refunds")
    command = models.OneToOneField(StripeCommand, on_delete=models.PROTECT, related_name="refund")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    amount_micro = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200, blank=True, db_default="")
    idempotency_key = models.CharField(max_length=300)
    status = models.CharField(max_length=16, choices=Status, default=Status.REQUESTED)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    stripe_id = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 - unique once known
    transfer = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, related_name="refund")
    returned = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, null=True, related_name="refund_returned")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "idempotency_key"], name="refund_once"),
            models.CheckConstraint(condition=models.Q(amount_micro__gt=0), name="refund_amount"),
            models.CheckConstraint(
                condition=models.Q(status="failed", returned__isnull=False)
                | ~models.Q(status="failed") & models.Q(returned=None),
                name="refund_returned",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="refund_by_organization"),
            models.Index(fields=["created_at"], condition=models.Q(status="pending"), name="refund_pending"),
        ]

    def __str__(self) -> str:
        return f"{format_money(self.amount_micro, self.currency)} to {self.organization}"


class RefundEvent(TransitionEvent):
    """One change of state of a refund, written by the database."""

    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, related_name="events")

    def __str__(self) -> str:
        return f"{self.from_status} -> {self.to_status}"
