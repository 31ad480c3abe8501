"""Add and retire vehicles, and release the VIN of a car that has been sold."""

import hashlib
import hmac
import re
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import AuditEvent, Owner, OwnerPolicy, User, Vehicle
from accounts.owners import closing
from core.db import atomic_retrying
from core.errors import Conflict, InvalidInput

RELEASE_REASON_MIN = 10
CLAIMS_A_DAY = 5
VIN = re.compile(r"^[A-HJ-NPR-Z0-9]{17}$")  # ISO 3779: 17 characters, no I, O or Q


def vin_hash(vin: str) -> str:
    """Return the keyed hash of a VIN. It is equal for the same car, and reveals nothing to anybody without the key."""
    return hmac.new(settings.SECRET_KEY.encode(), b"vin:" + vin.upper().encode(), hashlib.sha256).hexdigest()


def add_vehicle(*, owner: Owner, label: str, make_model: str, vin: str, actor: User | None) -> Vehicle:
    """Create and return a vehicle with the default rules and without any consent.

    Raises InvalidInput `vin_invalid`, or Conflict `vin_in_use`.
    """
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


@atomic_retrying
def retire(*, vehicle: Vehicle, actor: User | None, code: str) -> bool:
    """Remove a vehicle from its owner's account for good. Return False if it is retired already.

    In one transaction its consents are withdrawn with `code` as the method, its VIN becomes free, and a trigger of
    compute retires its node. The database refuses to retire a vehicle with consent in force. What it earned is still
    paid. Locks the owner's row first, then the vehicle's.
    """
    owner = Owner.objects.select_for_update(no_key=True).get(pk=vehicle.owner_id)
    if not Vehicle.objects.select_for_update().filter(pk=vehicle.pk, retired_at=None).exists():
        return False
    ended = closing.end_consents(owner=owner, actor=actor, method=code, vehicle_id=vehicle.pk)
    Vehicle.objects.filter(pk=vehicle.pk).update(retired_at=timezone.now(), retired_code=code)
    audit.record(actor=actor, action=f"vehicle.{code}", subject=vehicle.public_id, consents=ended)
    return True


@atomic_retrying
def release(*, vehicle: Vehicle, actor: User, reason: str) -> None:
    """Release the VIN of a car whose former owner does not answer, and mail that owner. Only operators may do this.

    The consent records name the system and not the owner as the one who ended them; the audit trail names the operator
    and the reason. Raises InvalidInput `reason_too_short`, or Conflict `vehicle_retired`.
    """
    reason = reason.strip()
    if len(reason) < RELEASE_REASON_MIN:
        raise InvalidInput("Write the reason, in ten characters or more.", code="reason_too_short")
    if not retire(vehicle=vehicle, actor=None, code="released"):
        raise Conflict("This vehicle is retired already.", code="vehicle_retired")
    audit.record(actor=actor, action="vehicle.release", subject=vehicle.public_id, reason=reason)
    outbox.queue(
        user=vehicle.owner.user,
        kind="vehicle-released",
        dedupe_key=f"vehicle-released:{vehicle.pk}",
        context={"vin_last4": vehicle.vin_last4},
    )


@atomic_retrying
def claim(*, owner: Owner, vin: str, actor: User) -> None:
    """Ask the present holder of a VIN to release it, for an owner who bought the car.

    The result does not reveal whether there is a holder. A holder gets at most one mail a week for each car. Claims are
    counted by their entries in the audit trail, which do not name the car. Raises InvalidInput `vin_invalid`, or
    Conflict `too_many_claims` beyond CLAIMS_A_DAY.
    """
    vin = vin.strip().upper()
    if not VIN.match(vin):
        raise InvalidInput("A VIN has 17 letters and digits, without I, O and Q.", code="vin_invalid")
    Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)  # count and record one claim at a time
    now = timezone.now()
    claims_today = AuditEvent.objects.filter(
        actor=actor, action="vehicle.claim", at__gt=now - timedelta(days=1)
    ).count()
    if claims_today >= CLAIMS_A_DAY:
        raise Conflict("You have claimed too many cars today. Try again tomorrow.", code="too_many_claims")
    audit.record(actor=actor, action="vehicle.claim", subject=owner.public_id)
    vehicle = Vehicle.objects.select_related("owner__user").filter(vin_hash=vin_hash(vin), retired_at=None).first()
    if vehicle is None or vehicle.owner_id == owner.pk:
        return
    year, week, _ = now.isocalendar()
    outbox.queue(
        user=vehicle.owner.user,
        kind="vehicle-claim",
        dedupe_key=f"vehicle-claim:{vehicle.pk}:{year}-{week}",
        context={"vehicle": str(vehicle.public_id), "vin_last4": vehicle.vin_last4},
    )
