from typing import ClassVar

from django.db import models

from accounts.models import Organization
from billing.models.topups import TopUp
from core.locale import format_money
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class CardDispute(PublicIdModel):
    """A chargeback: a cardholder told the bank that a payment was not theirs, or not right. Stripe calls it a Dispute.

    When the bank takes the money, the wallet pays what it has and the organization owes the rest (ledger account
    `disputed`). If the dispute is lost, an operator may write off what is still owed as our loss.
    """

    class Status(models.TextChoices):
        WARNING = "warning", "The bank asks"  # no money has moved
        NEEDS_RESPONSE = "needs_response", "Waits for our evidence"
        UNDER_REVIEW = "under_review", "At the bank"
        WON = "won", "Won"
        LOST = "lost", "Lost"
        CLOSED = "closed", "Closed without a chargeback"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.WARNING: (Status.NEEDS_RESPONSE, Status.UNDER_REVIEW, Status.WON, Status.LOST, Status.CLOSED),
        Status.NEEDS_RESPONSE: (Status.UNDER_REVIEW, Status.WON, Status.LOST, Status.CLOSED),
        Status.UNDER_REVIEW: (Status.NEEDS_RESPONSE, Status.WON, Status.LOST, Status.CLOSED),
        Status.LOST: (Status.WON,),  # the bank may change its decision
    }
    OPEN: ClassVar = (Status.WARNING, Status.NEEDS_RESPONSE, Status.UNDER_REVIEW)

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="card_disputes")
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="card_disputes")
    stripe_id = models.CharField(max_length=255, unique=True)
    amount_micro = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=Status)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    evidence_due_at = models.DateTimeField(null=True)
    evidence = models.TextField(blank=True, db_default="", help_text="The evidence that an operator sent to the bank.")
    evidence_at = models.DateTimeField(null=True)
    # When the ledger posted each movement, so that each is posted once.
    withdrawn_at = models.DateTimeField(null=True)
    reinstated_at = models.DateTimeField(null=True)
    written_off_at = models.DateTimeField(null=True)
    # When the organization was suspended for this dispute, and when that was lifted. A dispute suspends once. Only a
    # suspension recorded here is lifted automatically; one that an operator made stays.
    suspended_at = models.DateTimeField(null=True)
    lifted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(amount_micro__gt=0), name="card_dispute_amount"),
            models.CheckConstraint(
                condition=models.Q(reinstated_at=None) | models.Q(withdrawn_at__isnull=False),
                name="card_dispute_reinstated",
            ),
            models.CheckConstraint(
                condition=models.Q(lifted_at=None) | models.Q(suspended_at__isnull=False), name="card_dispute_lifted"
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="card_dispute_by_organization"),
            models.Index(
                fields=["organization"],
                condition=models.Q(withdrawn_at__isnull=False, reinstated_at=None, written_off_at=None),
                name="card_dispute_taken",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stripe_id}: {format_money(self.amount_micro, self.currency)}"


class CardDisputeEvent(TransitionEvent):
    """One change of state of a card dispute, written by the database."""

    card_dispute = models.ForeignKey(CardDispute, on_delete=models.PROTECT, related_name="events")

    def __str__(self) -> str:
        return f"{self.from_status} -> {self.to_status}"
