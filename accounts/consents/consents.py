"""Consent acts: the only writer of ConsentRecord. What a record says is in accounts/receipts/record.py."""

import contextlib
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone

from accounts.consents import notices
from accounts.mails import outbox
from accounts.models import (
    IN_FORCE,
    PERSONAL,
    ConsentCurrent,
    ConsentNotice,
    ConsentRecord,
    ConsentState,
    Mail,
    Owner,
    Purpose,
    User,
    Vehicle,
)
from accounts.receipts import keys, record
from accounts.receipts.documents import GENESIS_HASH, chain_hash, chained
from core.db import atomic_retrying
from core.errors import Conflict, ConsentRequired, InvalidInput, from_database

DECISIONS = (ConsentState.GIVEN, ConsentState.REFUSED, ConsentState.WITHDRAWN)
# From here on "given" again renews; before, it repeats what is in force and changes nothing.
RENEWAL_WINDOW = timedelta(days=30)
CHANGED = "The text of this consent has changed. Read it, then decide again."
NEWS = "news"  # the kind of mail that needs consent


def decide(
    *,
    purpose: str,
    decision: str,
    actor: User | None,
    method: str,
    vehicle: Vehicle | None = None,
    owner: Owner | None = None,
    notice_version: int | None = None,
    language: str | None = None,
) -> ConsentRecord:
    """Record one act: "given", "refused" or "withdrawn". Repeating the present state changes nothing and returns it.

    About `vehicle`, or, for a personal purpose, about `owner`. `method` says where: "portal", "agent" (then `actor` is None,
    the record names the vehicle), "unsubscribe" and so on. "given" near the end of a consent, or for a newer text, renews it.

    In the same transaction the database ends the vehicle's leases when consent to run jobs ends (compute's rules).
    `notice_version` and `language` are the text that the person had before them (None: the owner's language): consent to
    any version but the newest is not taken.
    Raises InvalidInput for another word, Conflict for withdrawing what was never given, `notice_changed`, or consent that a
    closed account or a retired vehicle cannot give.
    """
    if decision not in DECISIONS:
        raise InvalidInput("The decision must be given, refused or withdrawn.", decision=decision)
    _check_subject(purpose, vehicle, owner)
    try:
        return _decide(purpose, decision, actor, method, vehicle, owner, notice_version, language)
    except DatabaseError as error:
        if isinstance(from_database(error), ConsentRequired):  # a new text took effect since it was looked up
            raise Conflict(CHANGED, code="notice_changed") from error
        raise


@atomic_retrying
def _decide(
    purpose: str,
    decision: str,
    actor: User | None,
    method: str,
    vehicle: Vehicle | None,
    owner: Owner | None,
    notice_version: int | None,
    language: str | None,
) -> ConsentRecord:
    owner = Owner.objects.select_for_update(no_key=True).get(pk=vehicle.owner_id if vehicle else owner.pk)  # type: ignore[union-attr] # one of them
    notice = notices.current_notice(purpose, language or notices.language_of(owner))
    if decision == ConsentState.GIVEN:
        _check_can_give(owner, vehicle, notice, notice_version)
    # Waits for a dispatch that is leasing on this consent: the act is then later than every lease it allowed.
    held = ConsentCurrent.objects.select_for_update(of=["self"]).filter(owner=owner, vehicle=vehicle, purpose=purpose)
    current = held.select_related("record__notice").first()
    if current and _repeats(current, decision, notice):
        return current.record
    if decision == ConsentState.WITHDRAWN:
        if current is None or current.state not in IN_FORCE:
            raise Conflict("There is no consent in force to withdraw.", code="no_consent")
        notice = current.record.notice  # what is withdrawn is consent to that text
    if decision == ConsentState.REFUSED and current and current.is_in_force:
        raise Conflict("Consent is in force: withdraw it instead.", code="consent_in_force")
    renews = decision == ConsentState.GIVEN and current is not None and current.is_given
    state = ConsentState.RENEWED if renews else ConsentState(decision)
    written = append(owner=owner, vehicle=vehicle, notice=notice, state=state, actor=actor, method=method)
    if method == "agent":
        _tell_withdrawn_at_car(written)
    return written


def withdraw_all(*, owner: Owner, purpose: str, actor: User | None, method: str) -> int:
    """Withdraw one purpose for every vehicle of the owner that gave it. Returns how many that were."""
    found = ConsentCurrent.objects.filter(owner=owner, purpose=purpose).exclude(vehicle=None).select_related("vehicle")
    given = [current.vehicle for current in found if current.is_given]
    for vehicle in given:
        with contextlib.suppress(Conflict):  # it ended by itself meanwhile: the others must still be stopped
            decide(vehicle=vehicle, purpose=purpose, decision=ConsentState.WITHDRAWN, actor=actor, method=method)
    return len(given)


def withdraw_everything(*, owner: Owner, actor: User | None, method: str) -> int:
    """Stop all cars: what lets them work first, then every other purpose of every vehicle. Returns how many consents ended."""
    purposes = [purpose for purpose in Purpose.values if purpose not in PERSONAL]
    return sum(withdraw_all(owner=owner, purpose=purpose, actor=actor, method=method) for purpose in purposes)


@atomic_retrying
def expire(*, limit: int = 500) -> int:
    """Write the `expired` act for consents whose time has passed, and for those to a text that no longer counts.

    The database has stopped honouring both by itself; the act ends what still runs, and stands in the history.
    """
    ended = Q(expires_at__lte=timezone.now())
    for purpose, version in notices.counting_versions().items():
        ended |= Q(purpose=purpose, notice_version__lt=version)
    due = ConsentCurrent.objects.filter(ended, state__in=IN_FORCE).order_by("owner_id", "id")[:limit]
    count = 0
    for current in due:
        owner = Owner.objects.select_for_update(no_key=True).get(pk=current.owner_id)
        current = (
            ConsentCurrent.objects.select_for_update(of=["self"])
            .select_related("vehicle", "record__notice")
            .get(pk=current.pk)
        )
        if current.state not in IN_FORCE or current.is_in_force:  # decided again since the list was read
            continue
        append(
            owner=owner,
            vehicle=current.vehicle,
            notice=current.record.notice,
            state=ConsentState.EXPIRED,
            actor=None,
            method="notice_changed" if current.is_given else "expiry",
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
    act = record.Act(
        record_id=record_id,
        seq=seq,
        owner=owner.public_id,
        vehicle=vehicle.public_id if vehicle else None,
        country=owner.country,
        state=str(state),
        method=method,
        entity=entity(actor, vehicle, method),
        at=at,
        expires_at=expires_at,
    )
    payload = record.canonical(record.record_fields(act, notice_of(notice), controller()))
    signature = keys.private_key(settings.RECEIPT_SIGNING_KEY).sign(keys.RECORD_DOMAIN + chained(prev_hash, payload))
    written = ConsentRecord.objects.create(
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
        hash=chain_hash(prev_hash, payload),
        signature=signature.hex(),
    )
    if notice.purpose == Purpose.PRODUCT_EMAIL and state not in IN_FORCE:
        waiting = Mail.objects.filter(user=owner.user_id, kind=NEWS, sent_at=None, dropped_at=None)
        waiting.update(dropped_at=timezone.now(), dropped_code=f"consent_{state}")
    return written


def may_renew(current: ConsentCurrent) -> bool:
    """Is a consent so near its end that giving it again begins a new term?"""
    window = min(RENEWAL_WINDOW, timedelta(days=current.record.notice.validity_days) / 2)
    return current.is_given and current.expires_at is not None and current.expires_at <= timezone.now() + window


def controller() -> record.Controller:
    """Who answers for the data, as set for this installation."""
    return record.Controller(
        name=settings.CONTROLLER_NAME,
        address=settings.CONTROLLER_ADDRESS,
        contact=settings.CONTROLLER_CONTACT,
        url=settings.CONTROLLER_URL,
        country=settings.CONTROLLER_COUNTRY,
        authority_name=settings.AUTHORITY_NAME,
        authority_address=settings.AUTHORITY_ADDRESS,
        authority_contact=settings.AUTHORITY_CONTACT,
        authority_url=settings.AUTHORITY_URL,
    )


def notice_of(notice: ConsentNotice) -> record.Notice:
    return record.Notice(
        purpose=notice.purpose,
        version=notice.version,
        language=notice.language,
        title=notice.title,
        sha256=notice.sha256,
        validity_days=notice.validity_days,
    )


def entity(actor: User | None, vehicle: Vehicle | None, method: str) -> str:
    """Who acted: a user, the person at the car (whose node signed the request), or nobody but time."""
    if actor:
        return f"user:{actor.pk}"
    return f"vehicle:{vehicle.public_id}" if vehicle and method == "agent" else "system"


def _database_clock() -> datetime:
    """One clock for acts and leases, so that their times can be compared; read now, not at the transaction's start."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
        return at


def _check_subject(purpose: str, vehicle: Vehicle | None, owner: Owner | None) -> None:
    if (vehicle is None) == (owner is None) or (vehicle is None) != (purpose in PERSONAL):
        raise InvalidInput("This purpose is decided for " + ("a person." if purpose in PERSONAL else "a vehicle."))


def _check_can_give(owner: Owner, vehicle: Vehicle | None, notice: ConsentNotice, read_version: int | None) -> None:
    if read_version not in (None, notice.version):
        raise Conflict(CHANGED, code="notice_changed")
    if owner.deactivated_at or owner.erased_at:
        raise Conflict("This account is closed: it can withdraw, not consent.", code="account_closed")
    if vehicle and Vehicle.objects.filter(pk=vehicle.pk, retired_at__isnull=False).exists():
        raise Conflict("This vehicle is no longer yours here.", code="vehicle_retired")


def _repeats(current: ConsentCurrent, decision: str, notice: ConsentNotice) -> bool:
    if decision != ConsentState.GIVEN:
        return current.state == decision
    return current.is_in_force and current.notice_version == notice.version and not may_renew(current)


def _tell_withdrawn_at_car(written: ConsentRecord) -> None:
    """The owner may not be who stands at the car."""
    context = {
        "purpose": written.purpose,
        "title": written.notice.title,
        "vehicle": str(written.vehicle.public_id) if written.vehicle else "",
        "at": written.at.isoformat(timespec="seconds"),
        "receipt_id": str(written.public_id),
    }
    outbox.queue(
        user=written.owner.user,
        kind="consent-withdrawn-in-car",
        dedupe_key=f"withdrawn:{written.public_id}",
        context=context,
    )
