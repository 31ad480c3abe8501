from django.db import models

from accounts.models import Organization
from billing.models.ledger import LedgerTransfer
from billing.models.orders import JobOrder
from core.models import PublicIdModel


class Invoice(PublicIdModel):
    """An invoice for a customer's work in a period, already paid from the wallet.

    It is append-only: corrections are on a later invoice. Every transfer that charged the customer, or gave a charge
    back, is an entry of exactly one invoice.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="invoices")
    number = models.PositiveIntegerField(help_text="Counted from 1 for each organization.")
    currency = models.CharField(max_length=3)
    period_start_at = models.DateTimeField()
    period_end_at = models.DateTimeField()
    charged_micro = models.BigIntegerField(help_text="Verified work.")
    corrected_micro = models.BigIntegerField(help_text="Corrections, signed: negative gives back.")
    total_micro = models.BigIntegerField()
    promo_micro = models.BigIntegerField(default=0, help_text="The part that promotional credit paid.")
    # Name and address as they were when the invoice was made.
    customer_name = models.CharField(max_length=200)
    customer_address = models.TextField(blank=True, db_default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "currency", "period_start_at"], name="invoice_period"),
            models.UniqueConstraint(fields=["organization", "number"], name="invoice_number"),
            models.CheckConstraint(
                condition=models.Q(period_end_at__gt=models.F("period_start_at")), name="invoice_span"
            ),
            models.CheckConstraint(
                condition=models.Q(total_micro=models.F("charged_micro") + models.F("corrected_micro")),
                name="invoice_adds_up",
            ),
            models.CheckConstraint(
                condition=models.Q(charged_micro__gte=0, promo_micro__gte=0), name="invoice_amounts"
            ),
        ]

    def __str__(self) -> str:
        return f"invoice {self.number} of {self.organization_id}"


class InvoiceEntry(models.Model):
    """A transfer on an invoice: it charged the customer, or gave a charge back. Append-only."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="entries")
    transfer = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, related_name="invoice_entry")
    amount_micro = models.BigIntegerField(help_text="What was charged, signed.")

    def __str__(self) -> str:
        return f"transfer {self.transfer_id} on invoice {self.invoice_id}"


class InvoiceLine(models.Model):
    """A line of an invoice: the work of one job, or one correction. Append-only."""

    class Kind(models.TextChoices):
        WORK = "work", "Verified work"
        CORRECTION = "correction", "Correction"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    kind = models.CharField(max_length=16, choices=Kind)
    order = models.ForeignKey(JobOrder, on_delete=models.PROTECT, null=True, related_name="+")
    description = models.CharField(max_length=200)
    items = models.BigIntegerField(default=0)
    compute_ms = models.BigIntegerField(default=0)
    energy_mwh = models.BigIntegerField(default=0)
    price_micro_per_hour = models.BigIntegerField(default=0)
    price_micro_per_kwh = models.BigIntegerField(default=0)
    amount_micro = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["invoice", "id"], name="invoice_line_order")]

    def __str__(self) -> str:
        return f"{self.description}: {self.amount_micro}"
