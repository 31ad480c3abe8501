from django.db import models

from core.models import TimestampedModel


class BalanceTransaction(TimestampedModel):
    """One movement of our balance at Stripe, as Stripe reports it. Append-only; amounts are signed.

    Its fee is posted together with the row, under the key `stripe_fee:<stripe_id>`. The ledger's checks compare every
    row with what was posted for it (billing/ledger/checks/stripe.py).
    """

    stripe_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=64)
    source_id = models.CharField(max_length=255, blank=True)
    payment_intent_id = models.CharField(max_length=255, blank=True)
    transfer_id = models.CharField(
        max_length=255,
        blank=True,
        db_default="",
        help_text="The transfer whose money came back from an owner's account.",
    )
    currency = models.CharField(max_length=3)
    amount_micro = models.BigIntegerField()
    fee_micro = models.BigIntegerField()
    net_micro = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    available_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(net_micro=models.F("amount_micro") - models.F("fee_micro")),
                name="balance_transaction_adds_up",
            )
        ]
        indexes = [
            models.Index(fields=["payment_intent_id"], name="balance_transaction_intent"),
            models.Index(fields=["source_id"], name="balance_transaction_source"),
            models.Index(
                fields=["transfer_id"],
                condition=models.Q(type="transfer_refund"),
                name="balance_transaction_transfer",
            ),
            # For the sweeps that look for money that moved after a payment had ended.
            models.Index(
                fields=["occurred_at"],
                condition=models.Q(type__in=["adjustment", "refund_failure", "payment_failure_refund"]),
                name="balance_transaction_late",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.stripe_id}"
