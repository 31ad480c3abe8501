from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from accounts.models.vehicles import Vehicle


class OwnerPolicy(models.Model):
    """The owner's rules for when a car may work. The vehicle evaluates them; the server never stores its readings.

    Times of the week are in `time_zone`: weekday 0 is Monday, minutes count from midnight, and a window whose end is
    not after its start ends on the next day. Prices are micro-units of the owner's currency.
    """

    class Network(models.TextChoices):
        WIFI = "wifi", "Wi-Fi or cable only"
        CAPPED = "capped", "Mobile data too, up to a monthly cap"
        ANY = "any", "Any network"

    class PowerRule(models.TextChoices):
        ANY = "any", "Whatever power there is"
        SOLAR = "solar", "Only while charging from solar"
        BELOW_PRICE = "below_price", "Only below a price"
        SOLAR_OR_BELOW_PRICE = "solar_or_below_price", "From solar, or below a price"

    class Pause(models.TextChoices):
        NONE = "", "Not paused"
        STOP = "stop", "Stopped now"
        FINISH = "finish", "Finish the running unit, then stop"

    vehicle = models.OneToOneField(Vehicle, on_delete=models.PROTECT, related_name="policy")
    # `version` increases with every change that the car must receive, pauses too. `rules_version` is its value at the
    # last change of a rule.
    version = models.PositiveIntegerField(default=1)
    rules_version = models.PositiveIntegerField(default=1)
    # The rules before the last change, to undo it: {"rules": ..., "undid": the version that an undo has undone or
    # null}. Older rules are not kept: when a car stands where reveals how its owner lives.
    previous = models.JSONField(null=True, blank=True)
    preset = models.CharField(max_length=24, default="careful", blank=True)
    time_zone = models.CharField(max_length=64, blank=True, help_text="If empty, the owner's time zone counts.")

    # Weekly windows: [weekday 0-6, start minute, end minute]; none means any time.
    windows = models.JSONField(default=list, blank=True)
    # Times by which the car must be charged to `ready_by_percent`: [weekday 0-6, minute]. During the lead time before
    # them it works only with that charge or more.
    ready_by = models.JSONField(default=list, blank=True)
    ready_by_percent = models.PositiveSmallIntegerField(default=80, validators=[MaxValueValidator(100)])
    ready_by_lead_minutes = models.PositiveSmallIntegerField(default=180, validators=[MaxValueValidator(1440)])
    day_share_percent = models.PositiveSmallIntegerField(
        default=100,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="The largest share of a day that the car may work.",
    )

    plugged_in_only = models.BooleanField(default=True)
    charge_stop_percent = models.PositiveSmallIntegerField(default=50, validators=[MaxValueValidator(100)])
    charge_resume_percent = models.PositiveSmallIntegerField(default=55, validators=[MaxValueValidator(100)])
    heat_stop_c = models.PositiveSmallIntegerField(default=45)
    heat_resume_c = models.PositiveSmallIntegerField(default=40)

    network = models.CharField(max_length=8, choices=Network, default=Network.WIFI)
    data_cap_mb_per_month = models.PositiveIntegerField(
        default=1000, help_text="Limit of mobile data per month, in 10^6 bytes."
    )

    power_rule = models.CharField(max_length=24, choices=PowerRule, default=PowerRule.ANY)
    price_limit_micro_per_kwh = models.PositiveBigIntegerField(default=150_000)
    # What a kWh costs this owner, and what a kWh through the battery costs in wear. An offer must cover both.
    tariff_micro_per_kwh = models.PositiveBigIntegerField(default=180_200)
    # Time of use: [weekday 0-6, start minute, end minute, micro per kWh]; outside all of them the flat price applies.
    tariff_windows = models.JSONField(default=list, blank=True)
    # Default wear: the middle of 0.033 to 0.066 per kWh through the pack (99 $/kWh over 3,000 to 1,500 cycles).
    wear_micro_per_kwh = models.PositiveBigIntegerField(default=50_000)

    # A pause without an end lasts until the owner ends it.
    pause = models.CharField(max_length=8, choices=Pause, default=Pause.NONE, blank=True)
    paused_until_at = models.DateTimeField(null=True, blank=True)

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
            models.CheckConstraint(
                condition=models.Q(
                    charge_stop_percent__lte=100,
                    charge_resume_percent__lte=100,
                    ready_by_percent__lte=100,
                    ready_by_lead_minutes__lte=1440,
                    day_share_percent__gte=1,
                    day_share_percent__lte=100,
                ),
                name="policy_ranges",
            ),
            models.CheckConstraint(
                condition=models.Q(network__in=["wifi", "capped", "any"])
                & models.Q(power_rule__in=["any", "solar", "below_price", "solar_or_below_price"])
                & models.Q(pause__in=["", "stop", "finish"]),
                name="policy_words",
            ),
        ]

    def __str__(self) -> str:
        return f"policy of {self.vehicle} v{self.version}"

    @property
    def is_paused(self) -> bool:
        """Return whether the car is paused now. A pause that is over does not count."""
        return bool(self.pause) and (self.paused_until_at is None or self.paused_until_at > timezone.now())

    @property
    def zone(self) -> str:
        """Return the time zone of the rules: their own, else the owner's."""
        return self.time_zone or self.vehicle.owner.time_zone
