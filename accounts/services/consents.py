"""Consent acts: the only writer of ConsentRecord. The record's fields follow ISO/IEC TS 27560:2023 as W3C DPV maps it."""

import contextlib
import hashlib
import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import (
    IN_FORCE,
    PERSONAL,
    ConsentCurrent,
    ConsentNotice,
    ConsentRecord,
    ConsentState,
    Owner,
    User,
    Vehicle,
)
from marketplace.core.db import atomic_retrying
from marketplace.core.errors import Conflict, InvalidInput, NotFound

SCHEMA = "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"
RECEIPT_DOMAIN = b"driveway-consent-v1\n"
GENESIS_HASH = "0" * 64
DECISIONS = (ConsentState.GIVEN, ConsentState.REFUSED, ConsentState.WITHDRAWN)


def current_notice(purpose: str, language: str = "en") -> ConsentNotice:
    """The newest text of a purpose. Raises NotFound."""
    notice = ConsentNotice.objects.filter(purpose=purpose, language=language).order_by("-version").first()
    if notice is None:
        raise NotFound("There is no such purpose.", purpose=purpose)
    return notice


@atomic_retrying
def decide(
    *,
    purpose: str,
    decision: str,
    actor: User | None,
    method: str,
    vehicle: Vehicle | None = None,
    owner: Owner | None = None,
    notice_version: int | None = None,
) -> ConsentRecord:
    """Record one act: "given", "refused" or "withdrawn". Repeating the present state changes nothing and returns it.

    About `vehicle`, or, for a personal purpose, about `owner`. `method` says where: "portal", "agent" (then `actor` is None,
    the record names the vehicle), "unsubscribe" and so on.

    In the same transaction the database ends the vehicle's leases when consent to run jobs ends (compute's rules).
    `notice_version` is the text that the owner had before them: consent to any but the newest is not taken.
    Raises InvalidInput for another word, Conflict for withdrawing what was never given, or `notice_changed`.
    """
    if decision not in DECISIONS:
        raise InvalidInput("The decision must be given, refused or withdrawn.", decision=decision)
    _check_subject(purpose, vehicle, owner)
    owner = Owner.objects.select_for_update(no_key=True).get(pk=vehicle.owner_id if vehicle else owner.pk)  # type: ignore[union-attr] # one of them
    notice = current_notice(purpose)
    if decision == ConsentState.GIVEN and notice_version not in (None, notice.version):
        raise Conflict("The text of this consent has changed. Read it, then decide again.", code="notice_changed")
    # Waits for a dispatch that is leasing on this consent: the act is then later than every lease it allowed.
    held = ConsentCurrent.objects.select_for_update(of=["self"]).filter(owner=owner, vehicle=vehicle, purpose=purpose)
    current = held.select_related("record").first()
    in_force = current is not None and current.is_in_force
    if current and _repeats(current, decision, notice):
        return current.record
    if decision == ConsentState.WITHDRAWN and (current is None or current.state not in IN_FORCE):
        raise Conflict("There is no consent in force to withdraw.", code="no_consent")
    if decision == ConsentState.REFUSED and in_force:
        raise Conflict("Consent is in force: withdraw it instead.", code="consent_in_force")
    state = ConsentState.RENEWED if decision == ConsentState.GIVEN and in_force else ConsentState(decision)
    return append(owner=owner, vehicle=vehicle, notice=notice, state=state, actor=actor, method=method)


def withdraw_all(*, owner: Owner, purpose: str, actor: User | None, method: str) -> int:
    """Withdraw one purpose for every vehicle of the owner that gave it. Returns how many that were."""
    found = ConsentCurrent.objects.filter(owner=owner, purpose=purpose).exclude(vehicle=None).select_related("vehicle")
    in_force = [current.vehicle for current in found if current.is_in_force]
    for vehicle in in_force:
        with contextlib.suppress(Conflict):  # it ended by itself meanwhile: the others must still be stopped
            decide(vehicle=vehicle, purpose=purpose, decision=ConsentState.WITHDRAWN, actor=actor, method=method)
    return len(in_force)


@atomic_retrying
def expire(*, limit: int = 500) -> int:
    """Write the `expired` act for consents whose time has passed (the database stops honouring them by itself)."""
    due = (
        ConsentCurrent.objects.filter(state__in=IN_FORCE, expires_at__lte=timezone.now())
        .select_related("vehicle", "record__notice")
        .order_by("owner_id", "id")[:limit]
    )
    count = 0
    for current in due:
        owner = Owner.objects.select_for_update(no_key=True).get(pk=current.owner_id)
        current = (
            ConsentCurrent.objects.select_for_update(of=["self"]).select_related("record__notice").get(pk=current.pk)
        )
        if current.state not in IN_FORCE or current.is_in_force:  # decided again since the list was read
            continue
        append(
            owner=owner,
            vehicle=current.vehicle,
            notice=current.record.notice,
            state=ConsentState.EXPIRED,
            actor=None,
            method="expiry",
        )
        count += 1
    return count


def append(
    *,
    owner: Owner,
    vehicle: Vehicle | None,
    notice: ConsentNotice,
    state: ConsentState,
    actor: User | None,
    method: str,
) -> ConsentRecord:
    """Write the next record of the owner's chain. The caller holds the owner's row lock."""
    head = ConsentRecord.objects.filter(owner=owner).order_by("-seq").values_list("seq", "hash").first()
    seq, prev_hash = (head[0] + 1, head[1]) if head else (1, GENESIS_HASH)
    record_id, at = uuid.uuid4(), _database_clock()
    expires_at = at + timedelta(days=notice.validity_days) if state in IN_FORCE else None
    payload = canonical(record_fields(record_id, owner, vehicle, notice, state, actor, method, seq, at, expires_at))
    return ConsentRecord.objects.create(
        public_id=record_id,
        owner=owner,
        vehicle=vehicle,
        notice=notice,
        actor=actor,
        purpose=notice.purpose,
        state=state,
        method=method,
        at=at,
        expires_at=expires_at,
        seq=seq,
        payload=payload,
        prev_hash=prev_hash,
        hash=hashlib.sha256(bytes.fromhex(prev_hash) + payload).hexdigest(),
        signature=_signing_key().sign(RECEIPT_DOMAIN + bytes.fromhex(prev_hash) + payload).hex(),
    )


def _database_clock() -> datetime:
    """One clock for acts and leases, so that their times can be compared; read now, not at the transaction's start."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
        return at


def record_fields(
    record_id: uuid.UUID,
    owner: Owner,
    vehicle: Vehicle | None,
    notice: ConsentNotice,
    state: ConsentState,
    actor: User | None,
    method: str,
    seq: int,
    at: datetime,
    expires_at: datetime | None,
) -> dict[str, Any]:
    """The mandatory fields of ISO/IEC TS 27560, in its sections' order; person data by id only."""
    return {
        "schema_version": SCHEMA,
        "record_id": str(record_id),
        "pii_principal_id": str(owner.public_id),
        "seq": seq,
        "vehicle": str(vehicle.public_id) if vehicle else None,
        "purpose": notice.purpose,
        "privacy_notice": f"{notice.purpose}/v{notice.version}",
        "language": notice.language,
        "notice_sha256": notice.sha256,
        "lawful_basis": "dpv:Consent",
        "pii_information": ["dpv-pd:DeviceBased"],
        "pii_controllers": ["driveway"],
        "storage_locations": ["operator's database"],
        "retention_period": "P7Y",
        "jurisdiction": owner.country,
        "recipient_third_parties": [],
        "withdrawal_method": "one click on the vehicle's page",
        "event": {
            "event_time": at.isoformat(),
            "validity_duration": f"P{notice.validity_days}D",
            "expires_at": expires_at.isoformat() if expires_at else None,
            "entity_id": _entity(actor, vehicle, method),
            "event_type": "explicitly expressed" if actor or method == "agent" else "implied",
            "event_state": str(state),
            "method": method,
        },
    }


def _check_subject(purpose: str, vehicle: Vehicle | None, owner: Owner | None) -> None:
    if (vehicle is None) == (owner is None) or (vehicle is None) != (purpose in PERSONAL):
        raise InvalidInput("This purpose is decided for " + ("a person." if purpose in PERSONAL else "a vehicle."))


def _entity(actor: User | None, vehicle: Vehicle | None, method: str) -> str:
    """Who acted: a user, the person at the car (whose node signed the request), or nobody but time."""
    if actor:
        return f"user:{actor.pk}"
    return f"vehicle:{vehicle.public_id}" if vehicle and method == "agent" else "system"


def canonical(fields: dict[str, Any]) -> bytes:
    """JSON with sorted keys and no white space, UTF-8 (the subset of RFC 8785 that we use: no floats)."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _signing_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.RECEIPT_SIGNING_KEY))


def _repeats(current: ConsentCurrent, decision: str, notice: ConsentNotice) -> bool:
    if decision == ConsentState.GIVEN:
        return current.is_in_force and current.record.notice_id == notice.pk
    return current.state == decision
