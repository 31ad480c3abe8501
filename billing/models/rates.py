from django.db import models
from django.utils import timezone

from compute.models import HardwareClass
from core.models import TimestampedModel


class RateCard(TimestampedModel):
    """What work of a class costs from a moment on: time and energy, for a way of asking and a tier of verification.

    Immutable: a new price is a new card. The owner is paid `owner_share_permille` of the time's price, and the whole of
    the energy's.
    """

    class Mode(models.TextChoices):
        BATCH = "batch", "Batch"
        REAL_TIME = "real_time", "Real time"

    class Tier(models.TextChoices):
        STANDARD = "standard", "Standard"  # trusted cars alone, others checked by copies
        QUORUM = "quorum", "Quorum"  # every unit by two owners' cars that must agree

    hardware_class = models.ForeignKey(HardwareClass, on_delete=models.PROTECT, related_name="rate_cards")
    currency = models.CharField(max_length=3, default="USD")
    valid_from_at = models.DateTimeField(default=timezone.now)
    mode = models.CharField(max_length=16, choices=Mode, default=Mode.BATCH, db_default=Mode.BATCH)
    tier = models.CharField(max_length=16, choices=Tier, default=Tier.STANDARD, db_default=Tier.STANDARD)
    price_micro_per_hour = models.BigIntegerField(help_text="What the customer pays for a compute-hour.")
    price_micro_per_kwh = models.BigIntegerField(
        default=0, db_default=0, help_text="What the customer pays for a kilowatt-hour, besides."
    )
    owner_share_permille = models.PositiveSmallIntegerField(help_text="The owner's part of it, in thousandths.")
    # A guard on the card itself: price x share may not be set below it. What a car's hour costs is checked at dispatch.
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
        """What an owner is paid for a compute-hour."""
        return self.price_micro_per_hour * self.owner_share_permille // 1000
