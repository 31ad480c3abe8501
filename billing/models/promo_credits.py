from django.conf import settings
from django.db import models

from accounts.models import Organization
from billing.models.ledger import LedgerTransfer
from core.locale import format_money
from core.models import PublicIdModel


class PromoCredit(PublicIdModel):
    """Promotional credit for a customer, at the platform's expense: owners are paid in full. Append-only."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="promo_credits")
    amount_micro = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200)
    granted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    idempotency_key = models.CharField(max_length=255)
    transfer = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, related_name="promo_credit")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "idempotency_key"], name="promo_credit_once"),
            models.CheckConstraint(condition=models.Q(amount_micro__gt=0), name="promo_credit_amount"),
        ]

    def __str__(self) -> str:
        return f"{format_money(self.amount_micro, self.currency)} for {self.organization}"
