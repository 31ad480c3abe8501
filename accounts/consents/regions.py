"""The region of a vehicle: a state or province that its owner chooses.

It is kept only while consent to it is in force.
"""

import re

from django.db import DatabaseError, transaction

from accounts.access import audit
from accounts.models import ConsentCurrent, Purpose, User, Vehicle
from core.errors import ConsentRequired, InvalidInput, from_database

REGION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")  # ISO 3166-2


def choose_region(*, vehicle: Vehicle, region: str, actor: User | None) -> Vehicle:
    """Store the region, an ISO 3166-2 code, or remove it for "". Return the vehicle.

    Raises InvalidInput `region_invalid`, or ConsentRequired if consent to `region` is not in force (a trigger refuses
    it).
    """
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
            # Lock the consent before the vehicle, in the order of a withdrawal. Then either the withdrawal waits and
            # removes this region, or this call waits and is refused.
            list(ConsentCurrent.objects.select_for_update(no_key=True).filter(vehicle=vehicle, purpose=Purpose.REGION))
            vehicle.save(update_fields=["region"])
            audit.record(actor=actor, action="vehicle.region", subject=vehicle.public_id)
    except DatabaseError as error:
        refusal = from_database(error)
        if isinstance(refusal, ConsentRequired):
            raise ConsentRequired("Give consent to keeping a region first.") from error
        raise
    return vehicle
