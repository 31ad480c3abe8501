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


@atomic_retrying
def retire(*, vehicle: Vehicle, actor: User | None, code: str) -> bool:
    """The vehicle leaves its owner for good: its consents end by the method `code`, its VIN is free, its node is retired.

    One transaction; the database refuses a retired vehicle with consent in force, and retires the node (compute's rules).
    What it earned is still paid. Returns False when it had left before.
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
    """An operator frees the VIN of a car whose holder does not answer; the holder is told. Raises InvalidInput, Conflict.

    The consents end by the system's act, not by the owner's; the operator and the reason are in the trail.
    """
    reason = reason.strip()
    if len(reason) < RELEASE_REASON_MIN:
        raise InvalidInput("Write why, in ten characters or more.", code="reason_too_short")
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
    """Somebody who bought a car asks its present holder to release the VIN. Tells nothing of whether there is one.

    The holder gets one mail a week for each car. Raises InvalidInput `vin_invalid`, or Conflict `too_many_claims` beyond
    CLAIMS_A_DAY, counted in the trail, whose entry does not say which car.
    """
    vin = vin.strip().upper()
    if not VIN.match(vin):
        raise InvalidInput("A VIN has 17 letters and digits, without I, O and Q.", code="vin_invalid")
    Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)  # one claim at a time, or the limit would leak
    now = timezone.now()
    asked = AuditEvent.objects.filter(actor=actor, action="vehicle.claim", at__gt=now - timedelta(days=1)).count()
    if asked >= CLAIMS_A_DAY:
        raise Conflict("You have asked often today. Try again tomorrow.", code="too_many_claims")
    audit.record(actor=actor, action="vehicle.claim", subject=owner.public_id)
    held = Vehicle.objects.select_related("owner__user").filter(vin_hash=vin_hash(vin), retired_at=None).first()
    if held is None or held.owner_id == owner.pk:
        return
    year, week, _ = now.isocalendar()
    outbox.queue(
        user=held.owner.user,
        kind="vehicle-claim",
        dedupe_key=f"vehicle-claim:{held.pk}:{year}-{week}",
        context={"vehicle": str(held.public_id), "vin_last4": held.vin_last4},
    )
