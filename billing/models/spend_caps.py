from django.conf import settings
from django.db import models

from accounts.models import Organization
from core.models import TimestampedModel


class SpendCap(TimestampedModel):
    """The most that a customer's jobs may cost in a calendar month (UTC), including holds. No row means no cap."""

    organization = models.OneToOneField(Organization, on_delete=models.PROTECT, related_name="spend_cap")
    monthly_micro = models.BigIntegerField()
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(monthly_micro__gte=0), name="spend_cap_amount")]

    def __str__(self) -> str:
        return f"{self.monthly_micro} a month"
