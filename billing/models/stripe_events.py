from typing import ClassVar

from django.db import models
from django.utils import timezone

from core.models import TimestampedModel
from core.states import Transitions


class StripeEvent(TimestampedModel):
    """A row of the inbox: an event from Stripe, stored once by its id before anything is done about it.

    It only names the object to fetch; what is done depends on the object as it is then. So the payload, which contains
    personal data of the payer, is not stored, only its SHA-256 digest.
    """

    class Source(models.TextChoices):
        WEBHOOK = "webhook", "Webhook"
        SWEEP = "sweep", "Found by listing"

    class Status(models.TextChoices):
        RECEIVED = "received", "Received"
        PROCESSED = "processed", "Processed"
        SKIPPED = "skipped", "Not relevant to us"
        DEAD = "dead", "Given up, needs an operator"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.RECEIVED: (Status.PROCESSED, Status.SKIPPED, Status.DEAD),
        Status.DEAD: (Status.RECEIVED,),
        Status.SKIPPED: (Status.RECEIVED,),  # when a new version of our code handles the type
    }

    event_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=255)
    is_thin = models.BooleanField(help_text="An event of API v2: it names an object but does not contain it.")
    object_id = models.CharField(max_length=255, blank=True)
    account_id = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="The connected account that it happened on; empty: our own.",
    )
    api_version = models.CharField(max_length=64, blank=True)
    occurred_at = models.DateTimeField()
    source = models.CharField(max_length=16, choices=Source)
    payload_sha256 = models.CharField(max_length=64)
    livemode = models.BooleanField()
    status = models.CharField(max_length=16, choices=Status, default=Status.RECEIVED)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    message = models.TextField(blank=True, db_default="")
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(status="received"), name="stripe_event_due"),
            models.Index(fields=["object_id"], name="stripe_event_object"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class StripeSweep(TimestampedModel):
    """One complete listing of Stripe's events or balance transactions, from `since_at` up to `until_at`. Append-only.

    The next listing begins where this one ended, so that nothing between two sweeps is missed.
    """

    class Subject(models.TextChoices):
        EVENTS = "events", "Events"
        BALANCE = "balance", "Balance transactions"

    subject = models.CharField(max_length=16, choices=Subject)
    since_at = models.DateTimeField()
    until_at = models.DateTimeField()
    listed = models.PositiveIntegerField()
    missing = models.PositiveIntegerField(help_text="How many of them we had not received before.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(until_at__gt=models.F("since_at"), missing__lte=models.F("listed")),
                name="stripe_sweep_span",
            )
        ]
        indexes = [models.Index(fields=["subject", "-until_at"], name="stripe_sweep_latest")]

    def __str__(self) -> str:
        return f"{self.subject} from {self.since_at:%Y-%m-%d %H:%M} to {self.until_at:%Y-%m-%d %H:%M}"
