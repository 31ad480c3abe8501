from django.conf import settings
from django.db import models

from accounts.models import Organization
from billing.models.saved_cards import SavedCard
from core.models import TimestampedModel


class AutoRecharge(TimestampedModel):
    """A customer's standing order: charge the saved card when the wallet falls below a threshold, up to a monthly cap.

    Each charge is a CardTopUp of origin `auto`; the database allows one in flight at a time. A refused charge pauses
    the recharge until the customer resumes it.
    """

    organization = models.OneToOneField(Organization, on_delete=models.PROTECT, related_name="auto_recharge")
    card = models.ForeignKey(SavedCard, on_delete=models.PROTECT, related_name="+")
    is_on = models.BooleanField(default=True)
    threshold_micro = models.BigIntegerField()
    amount_micro = models.BigIntegerField()
    monthly_cap_micro = models.BigIntegerField(help_text="Limit on all automatic recharges of a calendar month (UTC).")
    paused_code = models.CharField(
        max_length=64, blank=True, db_default="", help_text="Why the last charge was refused."
    )
    paused_at = models.DateTimeField(null=True)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    threshold_micro__gte=0, amount_micro__gt=0, monthly_cap_micro__gte=models.F("amount_micro")
                ),
                name="auto_recharge_amounts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount_micro} below {self.threshold_micro}"
