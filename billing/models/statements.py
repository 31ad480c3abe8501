from django.db import models

from accounts.models import Owner, Vehicle
from billing.models.ledger import LedgerTransfer
from compute.models import HardwareClass
from core.models import PublicIdModel


class Statement(PublicIdModel):
    """A statement of what an owner earned in a period and how it is paid. Append-only: corrections are on a later one.

    `opening + earned + corrected + other - paid_out = carried`, all on the ledger account `payable`; every transfer on
    that account is an entry of exactly one statement. Energy and wear are the owner's own costs, for information.
    """

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="statements")
    number = models.PositiveIntegerField(help_text="Counted from 1 for each owner.")
    currency = models.CharField(max_length=3)
    period_start_at = models.DateTimeField()
    period_end_at = models.DateTimeField()
    opening_micro = models.BigIntegerField(help_text="Carried over from the statement before.")
    earned_micro = models.BigIntegerField(help_text="Gross pay for work.")
    corrected_micro = models.BigIntegerField(help_text="Corrections and adjustments, signed.")
    other_micro = models.BigIntegerField(help_text="Held while disputed, released, and payouts that came back, signed.")
    paid_out_micro = models.BigIntegerField(help_text="The payout of this statement.")
    carried_micro = models.BigIntegerField(
        help_text="Carried over to the next statement: less than a cent, below the minimum, or negative."
    )
    energy_cost_nano = models.BigIntegerField()
    wear_nano = models.BigIntegerField()
    compute_ms = models.BigIntegerField()
    energy_mwh = models.BigIntegerField()
    attempts = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "currency", "period_start_at"], name="statement_period"),
            models.UniqueConstraint(fields=["owner", "number"], name="statement_number"),
            models.CheckConstraint(
                condition=models.Q(period_end_at__gt=models.F("period_start_at")), name="statement_span"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    carried_micro=models.F("opening_micro")
                    + models.F("earned_micro")
                    + models.F("corrected_micro")
                    + models.F("other_micro")
                    - models.F("paid_out_micro")
                ),
                name="statement_adds_up",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    paid_out_micro__gte=0, earned_micro__gte=0, energy_cost_nano__gte=0, wear_nano__gte=0
                ),
                name="statement_amounts",
            ),
        ]

    def __str__(self) -> str:
        return f"statement {self.number} of owner {self.owner_id}"


class StatementEntry(models.Model):
    """A transfer of the owner's `payable` account on its one statement. Append-only."""

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="entries")
    transfer = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, related_name="statement_entry")
    amount_micro = models.BigIntegerField(help_text="Change of what the owner is owed, signed.")

    def __str__(self) -> str:
        return f"transfer {self.transfer_id} on statement {self.statement_id}"


class StatementLine(models.Model):
    """A line of a statement: the work of one vehicle, hardware class and month, or one correction. Append-only.

    `service_month` is the first day (UTC) of the month in which the work was verified; a month before the statement's
    period makes the line late.
    """

    class Kind(models.TextChoices):
        WORK = "work", "Work"
        CHECK = "check", "Checking others' work"
        CORRECTION = "correction", "Correction"
        ADJUSTMENT = "adjustment", "Adjustment"
        RESERVE = "reserve", "Held while disputed, or released"
        RETURN = "return", "Payout that came back"

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="lines")
    kind = models.CharField(max_length=16, choices=Kind)
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, null=True, related_name="+")
    hardware_class = models.ForeignKey(HardwareClass, on_delete=models.PROTECT, null=True, related_name="+")
    service_month = models.DateField()
    is_late = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    compute_ms = models.BigIntegerField(default=0)
    energy_mwh = models.BigIntegerField(default=0)
    amount_micro = models.BigIntegerField()
    energy_cost_nano = models.BigIntegerField(default=0)
    wear_nano = models.BigIntegerField(default=0)
    note = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        indexes = [models.Index(fields=["statement", "id"], name="statement_line_order")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_micro}"
