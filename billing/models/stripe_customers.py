from django.db import models

from accounts.models import Organization
from core.models import TimestampedModel


class StripeCustomer(TimestampedModel):
    """An organization's Customer object at Stripe, made with its command; `stripe_id` comes with Stripe's answer."""

    organization = models.OneToOneField(Organization, on_delete=models.PROTECT, related_name="stripe_customer")
    stripe_id = models.CharField(max_length=255, unique=True, null=True)  # noqa: DJ001 - unique once known

    def __str__(self) -> str:
        return self.stripe_id or f"customer to be for {self.organization}"
