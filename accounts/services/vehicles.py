import hashlib
import hmac
import re

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import Owner, OwnerPolicy, User, Vehicle
from accounts.services import audit
from marketplace.core.errors import Conflict, InvalidInput

VIN = re.compile(r"^[A-HJ-NPR-Z0-9]{17}$")  # ISO 3779: 17 characters, no I, O or Q


def vin_hash(vin: str) -> str:
    """Keyed hash of a VIN: equal for equal cars, useless to anybody without the key."""
    return hmac.new(settings.SECRET_KEY.encode(), b"vin:" + vin.upper().encode(), hashlib.sha256).hexdigest()


def add_vehicle(*, owner: Owner, label: str, make_model: str, vin: str, actor: User | None) -> Vehicle:
    """A vehicle with its default policy and no consent at all. Raises InvalidInput, or Conflict for a VIN in use."""
    vin = vin.strip().upper()
    if not VIN.match(vin):
        raise InvalidInput("A VIN has 17 letters and digits, without I, O and Q.", code="vin_invalid")
    try:
        with transaction.atomic():
            vehicle = Vehicle.objects.create(
                owner=owner,
                label=label.strip(),
                make_model=make_model.strip(),
                vin_hash=vin_hash(vin),
                vin_last4=vin[-4:],
            )
            OwnerPolicy.objects.create(vehicle=vehicle)
            audit.record(actor=actor, action="vehicle.add", subject=vehicle.public_id)
    except IntegrityError as error:
        raise Conflict("A vehicle with this VIN is already registered.", code="vin_in_use") from error
    return vehicle
