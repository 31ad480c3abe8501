from typing import Self

from django.db import models

from accounts.models.owners import Owner
from core.models import PublicIdModel


class VehicleQuerySet(models.QuerySet["Vehicle"]):
    def for_owner(self, owner: Owner) -> Self:
        """Filter the owner's vehicles that are not retired."""
        return self.filter(owner=owner, retired_at=None)


class Vehicle(PublicIdModel):
    """An owner's car.

    The VIN is not stored. A keyed hash finds a car that is added twice; the last four characters help its owner.
    """

    class Kind(models.TextChoices):
        SIMULATED = "simulated", "Simulated vehicle"
        BOX = "box", "Computer in a box, in the car"
        OEM = "oem", "Carmaker's integration"

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="vehicles")
    label = models.CharField(max_length=60)
    make_model = models.CharField(max_length=80, blank=True)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.SIMULATED)
    vin_hash = models.CharField(max_length=64)
    vin_last4 = models.CharField(max_length=4)
    # ISO 3166-2, as the owner chose it. Triggers keep it only while consent to `region` is in force.
    region = models.CharField(max_length=8, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    retired_code = models.CharField(max_length=16, blank=True)  # "sold", "removed", "erased"

    objects = VehicleQuerySet.as_manager()

    class Meta:
        constraints = [
            # A sold car is retired before its next owner adds it as a new vehicle, so consent never passes to the next
            # owner.
            models.UniqueConstraint(
                fields=["vin_hash"], condition=models.Q(retired_at=None), name="vehicle_vin_in_use_once"
            ),
            # Allows other tables a foreign key on the pair (vehicle, owner).
            models.UniqueConstraint(fields=["id", "owner"], name="vehicle_owner_pair"),
        ]

    def __str__(self) -> str:
        return self.label
