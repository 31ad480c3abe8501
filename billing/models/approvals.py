from typing import ClassVar

from django.conf import settings
from django.db import models

from core.models import PublicIdModel
from core.states import Transitions


class Approval(PublicIdModel):
    """An act on money that one operator proposes and another must approve before it is done.

    A constraint refuses an approval or rejection by the proposer. `params` are exactly what will be done; the second
    operator sees them unchanged.
    """

    class Kind(models.TextChoices):
        BANK_TOP_UP = "bank_top_up", "Top-up by bank transfer"
        REFUND = "refund", "Refund to a customer's card"
        RESOLVE_REFUND = "resolve_refund", "Settle a refund that was given up"
        ADJUST_CUSTOMER = "adjust_customer", "Adjust a customer's wallet"
        ADJUST_OWNER = "adjust_owner", "Adjust what an owner is owed"
        HOLD_PAYOUT = "hold_payout", "Hold a payout"
        RELEASE_PAYOUT = "release_payout", "Release a held payout"
        RETURN_PAYOUT = "return_payout", "Return a payout to the owner's balance"
        RESEND_PAYOUT = "resend_payout", "Ask Stripe again for a refused payout"
        REVERSE_PAYOUT = "reverse_payout", "Take a payout back (fraud, wrong payee)"
        PROMO_CREDIT = "promo_credit", "Promotional credit"
        WRITE_OFF = "write_off", "Write off what a lost dispute left owed"
        VOID_USAGE = "void_usage", "Void usage"
        DECIDE_DISPUTE = "decide_dispute", "Uphold a dispute"

    class Status(models.TextChoices):
        PROPOSED = "proposed", "Waits for a second operator"
        DONE = "done", "Approved and done"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {Status.PROPOSED: (Status.DONE, Status.REJECTED, Status.WITHDRAWN)}

    kind = models.CharField(max_length=24, choices=Kind)
    params = models.JSONField()
    summary = models.CharField(max_length=300, help_text="The act in words, with amount and name.")
    reason = models.CharField(max_length=500)
    idempotency_key = models.CharField(max_length=300, unique=True)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(max_length=16, choices=Status, default=Status.PROPOSED)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision_note = models.CharField(max_length=500, blank=True, db_default="")

    class Meta:
        permissions = [("decide_money", "Can propose acts on money, and decide about them")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status="proposed", decided_by=None, decided_at=None)
                | models.Q(status="withdrawn", decided_at__isnull=False)
                | models.Q(status__in=["done", "rejected"], decided_by__isnull=False, decided_at__isnull=False)
                & ~models.Q(decided_by=models.F("proposed_by")),
                name="approval_second_operator",
            ),
        ]
        indexes = [models.Index(fields=["id"], condition=models.Q(status="proposed"), name="approval_waiting")]

    def __str__(self) -> str:
        return self.summary
