"""The coarse region of a vehicle: a state or province that its owner chose, kept only while they consent to it."""

import re

from django.db import DatabaseError, transaction

from accounts.access import audit
from accounts.models import ConsentCurrent, Purpose, User, Vehicle
from core.errors import ConsentRequired, InvalidInput, from_database

REGION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")  # ISO 3166-2


def choose_region(*, vehicle: Vehicle, region: str, actor: User | None) -> Vehicle:
    """Keep the code, or none for "". Raises InvalidInput `region_invalid`, or ConsentRequired: the database refuses it."""
    region = region.strip().upper()
    country = vehicle.owner.country
    if region and (not REGION.fullmatch(region) or not region.startswith(f"{country}-")):
        raise InvalidInput(
            f"A region is a code of your country, like {country}-CA: the country, a hyphen, the state.",
            code="region_invalid",
        )
    vehicle.region = region
    try:
        with transaction.atomic():
            # As a withdrawal does, before the vehicle: so that it sees this region, or this sees its end.
            list(ConsentCurrent.objects.select_for_update(no_key=True).filter(vehicle=vehicle, purpose=Purpose.REGION))
            vehicle.save(update_fields=["region"])
            audit.record(actor=actor, action="vehicle.region", subject=vehicle.public_id)
    except DatabaseError as error:
        refused = from_database(error)
        if isinstance(refused, ConsentRequired):
            raise ConsentRequired("Consent to keeping a region first.") from error
        raise
    return vehicle
