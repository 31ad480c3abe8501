from django.core.validators import MaxValueValidator
from django.db import models

from accounts.models.vehicles import Vehicle


class OwnerPolicy(models.Model):
    """When the car may work. Evaluated on the vehicle; the server keeps the rules, never the readings."""

    vehicle = models.OneToOneField(Vehicle, on_delete=models.PROTECT, related_name="policy")
    version = models.PositiveIntegerField(default=1)
    plugged_in_only = models.BooleanField(default=True)
    charge_stop_percent = models.PositiveSmallIntegerField(default=50, validators=[MaxValueValidator(100)])
    charge_resume_percent = models.PositiveSmallIntegerField(default=55, validators=[MaxValueValidator(100)])
    wifi_only = models.BooleanField(default=True)
    heat_stop_c = models.PositiveSmallIntegerField(default=45)
    heat_resume_c = models.PositiveSmallIntegerField(default=40)
    # Weekly windows in the owner's time zone: [weekday 0-6, start minute, end minute]; none means any time.
    windows = models.JSONField(default=list, blank=True)
    paused_until_at = models.DateTimeField(null=True, blank=True)
    # What a kWh costs this owner, and what a kWh through the battery wears: an offer must cover both.
    tariff_micro_per_kwh = models.PositiveBigIntegerField(default=180_200)
    # Default wear: the middle of 0.033 to 0.066 per kWh through the pack (99 $/kWh over 3,000 to 1,500 cycles).
    wear_micro_per_kwh = models.PositiveBigIntegerField(default=50_000)

    class Meta:
        verbose_name_plural = "owner policies"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(charge_resume_percent__gte=models.F("charge_stop_percent")),
                name="policy_charge_hysteresis",
            ),
            models.CheckConstraint(
                condition=models.Q(heat_resume_c__lte=models.F("heat_stop_c")), name="policy_heat_hysteresis"
            ),
        ]

    def __str__(self) -> str:
        return f"policy of {self.vehicle} v{self.version}"
