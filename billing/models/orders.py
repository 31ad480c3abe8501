from typing import ClassVar

from django.db import models

from accounts.models import Organization
from billing.models.rates import RateCard
from compute.models import InferenceJob
from core.models import TimestampedModel
from core.states import Transitions


class JobOrder(TimestampedModel):
    """The money side of a job: the price fixed when it was ordered, the amount held, and what it has cost so far.

    When the order is closed, the rest of the hold goes back to where it came from; after that the order never changes.
    """

    class Status(models.TextChoices):
        HELD = "held"
        CLOSED = "closed"

    TRANSITIONS: ClassVar[Transitions] = {Status.HELD: (Status.CLOSED,)}

    job = models.OneToOneField(InferenceJob, on_delete=models.PROTECT, related_name="order")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="job_orders")
    rate_card = models.ForeignKey(RateCard, on_delete=models.PROTECT)
    # Copied from the rate card, so that rating reads one row.
    price_micro_per_hour = models.BigIntegerField()
    price_micro_per_kwh = models.BigIntegerField(default=0, db_default=0)
    owner_share_permille = models.PositiveSmallIntegerField()
    estimate_low_micro = models.BigIntegerField()
    estimate_high_micro = models.BigIntegerField()
    cap_micro = models.BigIntegerField(null=True, help_text="The customer's own limit, if one was given.")
    held_micro = models.BigIntegerField()
    held_promo_micro = models.BigIntegerField(
        default=0, db_default=0, help_text="The part of the hold that is promotional credit; charges use it up first."
    )
    charged_micro = models.BigIntegerField(default=0, db_default=0)
    status = models.CharField(max_length=16, choices=Status, default=Status.HELD)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(charged_micro__gte=0, charged_micro__lte=models.F("held_micro")),
                name="job_order_charged_within_hold",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    held_micro__gt=0, held_promo_micro__gte=0, held_promo_micro__lte=models.F("held_micro")
                ),
                name="job_order_held",
            ),
            models.CheckConstraint(
                condition=models.Q(cap_micro=None) | models.Q(held_micro__lte=models.F("cap_micro")),
                name="job_order_within_cap",
            ),
            models.CheckConstraint(
                condition=models.Q(estimate_low_micro__gte=0, estimate_high_micro__gte=models.F("estimate_low_micro")),
                name="job_order_estimate",
            ),
            models.CheckConstraint(
                condition=models.Q(status="held", closed_at=None) | models.Q(status="closed", closed_at__isnull=False),
                name="job_order_closed_at",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(status="held"), name="job_order_open"),
            models.Index(fields=["organization", "-job"], name="job_order_by_organization"),
        ]

    def __str__(self) -> str:
        return f"order of {self.job_id}"

    @property
    def left_micro(self) -> int:
        """What the job may still cost: the unused rest of the hold, zero once the order is closed."""
        return self.held_micro - self.charged_micro if self.status == self.Status.HELD else 0

    @property
    def left_promo_micro(self) -> int:
        """The part of `left_micro` that is promotional credit. Charges use it first."""
        return max(0, min(self.held_promo_micro - self.charged_micro, self.left_micro))
