from django.db import models
from django.utils import timezone

from compute.models import HardwareClass
from core.models import TimestampedModel


class RateCard(TimestampedModel):
    """The price of work of a hardware class from a moment on: for time and energy, by mode and tier of verification.

    Append-only: a new price is a new card. The owner is paid `owner_share_permille` of the price of time, and the whole
    price of energy.
    """

    class Mode(models.TextChoices):
        BATCH = "batch", "Batch"
        REAL_TIME = "real_time", "Real time"

    class Tier(models.TextChoices):
        STANDARD = "standard", "Standard"  # a trusted vehicle works alone; the work of others is checked by copies
        QUORUM = "quorum", "Quorum"  # every unit is run by vehicles of two owners, whose results must agree

    hardware_class = models.ForeignKey(HardwareClass, on_delete=models.PROTECT, related_name="rate_cards")
    currency = models.CharField(max_length=3, default="USD")
    valid_from_at = models.DateTimeField(default=timezone.now)
    mode = models.CharField(max_length=16, choices=Mode, default=Mode.BATCH, db_default=Mode.BATCH)
    tier = models.CharField(max_length=16, choices=Tier, default=Tier.STANDARD, db_default=Tier.STANDARD)
    price_micro_per_hour = models.BigIntegerField(help_text="What the customer pays for a compute-hour.")
    price_micro_per_kwh = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="What the customer pays for a kilowatt-hour, in addition to the price per hour.",
    )
    owner_share_permille = models.PositiveSmallIntegerField(
        help_text="The owner's share of the price per hour, in thousandths."
    )
    # The database refuses a card whose price x share is below this. Whether a vehicle's own costs are covered is
    # checked at dispatch.
    min_owner_micro_per_hour = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hardware_class", "currency", "mode", "tier", "valid_from_at"], name="rate_card_moment"
            ),
            models.CheckConstraint(
                condition=models.Q(price_micro_per_hour__gt=0, price_micro_per_kwh__gte=0), name="rate_card_price"
            ),
            models.CheckConstraint(condition=models.Q(owner_share_permille__lte=1000), name="rate_card_share"),
            models.CheckConstraint(
                condition=models.Q(min_owner_micro_per_hour__gte=0)
                & models.Q(
                    min_owner_micro_per_hour__lte=models.F("price_micro_per_hour")
                    * models.F("owner_share_permille")
                    / 1000
                ),
                name="rate_card_owner_floor",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hardware_class} from {self.valid_from_at:%Y-%m-%d}"

    @property
    def owner_micro_per_hour(self) -> int:
        """What an owner is paid for the time of a compute-hour, without energy."""
        return self.price_micro_per_hour * self.owner_share_permille // 1000
