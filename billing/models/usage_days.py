from django.db import models

from accounts.models import Organization, Owner, Vehicle
from compute.models import ModelArtifact
from core.locale import format_money


class EarningsDay(models.Model):
    """What a vehicle earned for its owner on a day (UTC). The settlement adds usage in the statement that rates it.

    A void subtracts what its usage had added. A check of the ledger compares the sums with the rated usage.
    """

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    currency = models.CharField(max_length=3)
    day = models.DateField()
    attempts = models.BigIntegerField()
    compute_ms = models.BigIntegerField()
    energy_mwh = models.BigIntegerField()
    gross_micro = models.BigIntegerField()
    energy_cost_nano = models.BigIntegerField()
    wear_nano = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "day", "vehicle", "currency"], name="earnings_day_once"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {format_money(self.gross_micro, self.currency)}"


class SpendDay(models.Model):
    """What a model cost a customer on a day (UTC), kept up to date as EarningsDay is."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    artifact = models.ForeignKey(ModelArtifact, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    currency = models.CharField(max_length=3)
    day = models.DateField()
    units = models.BigIntegerField()
    items = models.BigIntegerField()
    compute_ms = models.BigIntegerField()
    energy_mwh = models.BigIntegerField()
    charged_micro = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "day", "artifact", "currency"], name="spend_day_once"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {format_money(self.charged_micro, self.currency)}"
