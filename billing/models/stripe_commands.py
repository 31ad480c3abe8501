from typing import ClassVar

from django.db import models
from django.utils import timezone

from core.models import TimestampedModel
from core.states import Transitions


class StripeCommand(TimestampedModel):
    """A row of the outbox: one write to Stripe, decided in a transaction of ours and sent after it.

    billing/stripe/outbox.py sends it. `outcome_unknown` is set and committed before each call, and cleared by a
    definite answer. So a worker that takes the command up after a crash knows that Stripe may have carried it out.
    """

    class Kind(models.TextChoices):
        CREATE_CUSTOMER = "create_customer"
        CREATE_CHECKOUT_SESSION = "create_checkout_session"
        CREATE_SETUP_SESSION = "create_setup_session"
        CHARGE_SAVED_CARD = "charge_saved_card"
        DETACH_CARD = "detach_card"
        CREATE_REFUND = "create_refund"
        SUBMIT_EVIDENCE = "submit_evidence"
        CREATE_ACCOUNT = "create_account"
        CREATE_TRANSFER = "create_transfer"
        REVERSE_TRANSFER = "reverse_transfer"

    class Status(models.TextChoices):
        QUEUED = "queued", "To be sent"
        DONE = "done", "Done"
        DEAD = "dead", "Given up, needs an operator"

    # A dead command may be queued again by an operator.
    TRANSITIONS: ClassVar[Transitions] = {
        Status.QUEUED: (Status.DONE, Status.DEAD),
        Status.DEAD: (Status.QUEUED,),
    }

    kind = models.CharField(max_length=32, choices=Kind)
    idempotency_key = models.CharField(max_length=255, unique=True)
    subject_id = models.BigIntegerField(
        help_text="The id of the row that the command is about; the kind decides the table."
    )
    after = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="dependents")
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    message = models.TextField(blank=True, db_default="")
    params = models.JSONField(
        null=True, help_text="The parameters that were sent; the same each time it is sent again."
    )
    object_id = models.CharField(max_length=255, blank=True, db_default="")
    outcome_unknown = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    first_sent_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status="done", done_at__isnull=False)
                | ~models.Q(status="done") & models.Q(done_at=None),
                name="stripe_command_done_at",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(status="queued"), name="stripe_command_due"),
            models.Index(fields=["kind", "subject_id"], name="stripe_command_subject"),
        ]

    def __str__(self) -> str:
        return self.idempotency_key
