from django.db import models
from django.db.models.functions import Trim, Upper

from accounts.models import Organization
from billing.models.ledger import LedgerTransfer
from core.locale import format_money
from core.models import PublicIdModel


class TopUp(PublicIdModel):
    """A credit to a wallet for money that came in, by card or by bank transfer. Append-only."""

    class Method(models.TextChoices):
        MANUAL = "manual", "Bank transfer, entered by two operators"
        STRIPE = "stripe", "Card, through Stripe"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="top_ups")
    amount_micro = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    method = models.CharField(max_length=16, choices=Method)
    reference = models.CharField(max_length=120, blank=True)
    idempotency_key = models.CharField(max_length=255)
    transfer = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, related_name="top_up")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "idempotency_key"], name="top_up_once"),
            models.CheckConstraint(condition=models.Q(amount_micro__gt=0), name="top_up_amount"),
            # The bank's reference identifies a bank transfer, which is credited once, whatever idempotency key is used.
            models.UniqueConstraint(
                Upper(Trim("reference")), condition=models.Q(method="manual"), name="top_up_bank_reference"
            ),
        ]

    def __str__(self) -> str:
        return f"{format_money(self.amount_micro, self.currency)} for {self.organization}"
