from django.conf import settings
from django.db import models

from accounts.models import Organization
from core.models import TimestampedModel


class BillingProfile(TimestampedModel):
    """The details that a customer wants on invoices, and the balance below which it wants a mail.

    Without a row, invoices show the organization's name and no mail is sent.
    """

    organization = models.OneToOneField(Organization, on_delete=models.PROTECT, related_name="billing_profile")
    legal_name = models.CharField(max_length=200, blank=True, default="")
    address = models.TextField(max_length=500, blank=True, default="")
    tax_id = models.CharField(max_length=40, blank=True, default="", help_text="VAT number or another tax number.")
    low_balance_micro = models.BigIntegerField(null=True, help_text="Send a mail when less than this is free to spend.")
    # One mail each time the wallet falls below the threshold: set with the mail, cleared when the balance is above it
    # again.
    low_balance_mailed_at = models.DateTimeField(null=True)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(low_balance_micro=None) | models.Q(low_balance_micro__gte=0),
                name="billing_profile_low_balance",
            )
        ]

    def __str__(self) -> str:
        return self.legal_name or str(self.organization)
