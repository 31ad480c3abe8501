from django.db import models
from django.db.models.functions import Now

from billing.models.ledger import LedgerTransfer
from billing.models.orders import JobOrder
from compute.models import UsageRecord
from core.money import NANO_PER_MICRO, round_half_even


class RatedUsage(models.Model):
    """The rating of one usage record: what it charged the customer and paid the owner. Append-only.

    Several rows share a transfer, whose amount is their sum. `charged_micro` is what the customer paid (0 for a copy
    that checked other work), `owner_micro` what the owner was paid; the platform's rest may be negative. Energy and
    wear are the owner's own costs by the policy in force at settlement, for information: no transfer moves them. They
    are in nano-units, since the energy of a second costs less than a micro-unit.
    """

    # No foreign key constraints on these: the trigger rated_matches checks usage, order and transfers a batch at a
    # time.
    usage = models.OneToOneField(UsageRecord, on_delete=models.PROTECT, related_name="rated", db_constraint=False)
    order = models.ForeignKey(
        JobOrder, on_delete=models.PROTECT, related_name="rated_usage", db_constraint=False, db_index=False
    )
    charged_micro = models.BigIntegerField()
    owner_micro = models.BigIntegerField()
    platform_micro = models.BigIntegerField()
    energy_cost_nano = models.BigIntegerField()
    wear_nano = models.BigIntegerField()
    owner_transfer = models.ForeignKey(
        LedgerTransfer, on_delete=models.PROTECT, null=True, related_name="paid_usage", db_constraint=False
    )
    revenue_transfer = models.ForeignKey(
        LedgerTransfer, on_delete=models.PROTECT, null=True, related_name="earned_usage", db_constraint=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "rated usage"
        indexes = [models.Index(fields=["order", "id"], name="rated_usage_of_order")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    charged_micro__gte=0,
                    owner_micro__gte=0,
                    energy_cost_nano__gte=0,
                    wear_nano__gte=0,
                    platform_micro=models.F("charged_micro") - models.F("owner_micro"),
                ),
                name="rated_usage_adds_up",
            ),
            models.CheckConstraint(
                condition=models.Q(owner_micro=0, owner_transfer=None)
                | models.Q(owner_micro__gt=0, owner_transfer__isnull=False),
                name="rated_usage_paid",
            ),
        ]

    def __str__(self) -> str:
        return f"rating of usage {self.usage_id}"

    @property
    def net_micro(self) -> int:
        """What the owner keeps after energy and wear, in micro-units."""
        return self.owner_micro - round_half_even(self.energy_cost_nano + self.wear_nano, NANO_PER_MICRO)
