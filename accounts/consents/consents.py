"""Give, refuse, withdraw and expire consents.

This is the only module that writes ConsentRecord; accounts/receipts/record.py defines what a record contains.
"""

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
from accounts.receipts.documents import GENESIS_HASH, chain_hash, chained_bytes
from core.db import atomic_retrying
from core.errors import Conflict, ConsentRequired, InvalidInput, from_database

DECISIONS = (ConsentState.GIVEN, ConsentState.REFUSED, ConsentState.WITHDRAWN)
# For this time before a consent ends, giving it again renews it. Earlier it changes nothing.
RENEWAL_WINDOW = timedelta(days=30)
TEXT_CHANGED_MESSAGE = "The text of this consent has changed. Read it, then decide again."
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
    """Record a decision ("given", "refused" or "withdrawn") and return its record. Repeating one changes nothing.

    The decision is about `vehicle` or, for a personal purpose, about `owner`. `method` is where it was made: "portal",
    "agent" (at the car: `actor` is None and the record names the vehicle), "unsubscribe" and others. "given" shortly
    before a consent ends, or for a newer text, renews it. When consent to run jobs ends, triggers of compute end the
    vehicle's leases in the same transaction.

    `notice_version` and `language` (None: the owner's) name the text that the person was shown. Consent to any version
    but the newest is refused. Raises InvalidInput for an unknown decision or a wrong subject, and Conflict:
    `no_consent` (none in force to withdraw), `consent_in_force` (withdraw it instead of refusing), `notice_changed`,
    `account_closed` or `vehicle_retired` (neither can give consent). Locks the owner's row first, then the present
    consent.
    """
    if decision not in DECISIONS:
        raise InvalidInput("The decision must be given, refused or withdrawn.", decision=decision)
    _check_subject(purpose, vehicle, owner)
    try:
        return _decide(
            purpose,
            decision,
            actor=actor,
            method=method,
            vehicle=vehicle,
            owner=owner,
            notice_version=notice_version,
            language=language,
        )
    except DatabaseError as error:
        if isinstance(from_database(error), ConsentRequired):  # a newer text took effect after we read the present one
            raise Conflict(TEXT_CHANGED_MESSAGE, code="notice_changed") from error
        raise


@atomic_retrying
def _decide(
    purpose: str,
    decision: str,
    *,
    actor: User | None,
    method: str,
    vehicle: Vehicle | None,
    owner: Owner | None,
    notice_version: int | None,
    language: str | None,
) -> ConsentRecord:
    owner_id = vehicle.owner_id if vehicle else owner.pk  # type: ignore[union-attr] # _check_subject: one is set
    owner = Owner.objects.select_for_update(no_key=True).get(pk=owner_id)
    notice = notices.current_notice(purpose, language or notices.language_of(owner))
    if decision == ConsentState.GIVEN:
        _check_can_give(owner, vehicle, notice, notice_version)
    # This lock waits for a dispatch that is leasing under this consent (it holds the row FOR SHARE), so the decision is
    # later than every lease that the consent allowed.
    locked = ConsentCurrent.objects.select_for_update(of=["self"]).filter(owner=owner, vehicle=vehicle, purpose=purpose)
    current = locked.select_related("record__notice").first()
    if current and _repeats(current, decision, notice):
        return current.record
    if decision == ConsentState.WITHDRAWN:
        if current is None or current.state not in IN_FORCE:
            raise Conflict("There is no consent in force to withdraw.", code="no_consent")
        notice = current.record.notice  # the record of a withdrawal names the text that was consented to
    if decision == ConsentState.REFUSED and current and current.is_in_force:
        raise Conflict("Consent is in force: withdraw it instead.", code="consent_in_force")
    renews = decision == ConsentState.GIVEN and current is not None and current.is_given
    state = ConsentState.RENEWED if renews else ConsentState(decision)
    new_record = append(owner=owner, vehicle=vehicle, notice=notice, state=state, actor=actor, method=method)
    if method == "agent":
        _mail_withdrawn_at_car(new_record)
    return new_record


def withdraw_all(*, owner: Owner, purpose: str, actor: User | None, method: str) -> int:
    """Withdraw consent to one purpose for all vehicles of the owner. Return how many had it."""
    rows = ConsentCurrent.objects.filter(owner=owner, purpose=purpose).exclude(vehicle=None).select_related("vehicle")
    given = [current.vehicle for current in rows if current.is_given]
    for vehicle in given:
        with contextlib.suppress(Conflict):  # it has ended since the query; continue with the others
            decide(vehicle=vehicle, purpose=purpose, decision=ConsentState.WITHDRAWN, actor=actor, method=method)
    return len(given)


def withdraw_everything(*, owner: Owner, actor: User | None, method: str) -> int:
    """Withdraw every consent of all vehicles of the owner. Return how many.

    Consent to run jobs comes first, so that the cars stop as early as possible. Each withdrawal is its own transaction.
    """
    purposes = [purpose for purpose in Purpose.values if purpose not in PERSONAL]
    return sum(withdraw_all(owner=owner, purpose=purpose, actor=actor, method=method) for purpose in purposes)


@atomic_retrying
def expire(*, limit: int = 500) -> int:
    """Write an "expired" record for consents that are over or whose text is no longer in effect. Return how many.

    Such consents are no longer in force even without a record. The record ends the leases that still run, and belongs
    to the history. Handles at most `limit` consents, in one transaction; owners are locked in the order of their ids.
    """
    ended = Q(expires_at__lte=timezone.now())
    for purpose, version in notices.versions_in_effect().items():
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
        if current.state not in IN_FORCE or current.is_in_force:  # decided again since the query
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
    """Sign and write the next record of the owner's chain, and return it. The caller has locked the owner's row.

    When consent to news ends, news mails that still wait in the outbox are dropped.
    """
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
    signature = keys.private_key(settings.RECEIPT_SIGNING_KEY).sign(
        keys.RECORD_DOMAIN + chained_bytes(prev_hash, payload)
    )
    new_record = ConsentRecord.objects.create(
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
    return new_record


def may_renew(current: ConsentCurrent) -> bool:
    """Return whether a consent is so close to its end that giving it again renews it.

    That is RENEWAL_WINDOW before the end, or half of its validity if that is shorter.
    """
    window = min(RENEWAL_WINDOW, timedelta(days=current.record.notice.validity_days) / 2)
    return current.is_given and current.expires_at is not None and current.expires_at <= timezone.now() + window


def controller() -> record.Controller:
    """Return the data controller of this installation, from the settings."""
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
    """Return the part of a notice that a consent record contains."""
    return record.Notice(
        purpose=notice.purpose,
        version=notice.version,
        language=notice.language,
        title=notice.title,
        sha256=notice.sha256,
        validity_days=notice.validity_days,
    )


def entity(actor: User | None, vehicle: Vehicle | None, method: str) -> str:
    """Return who decided: "user:<id>", "system", or "vehicle:<id>" for somebody at the car, by its signed request."""
    if actor:
        return f"user:{actor.pk}"
    return f"vehicle:{vehicle.public_id}" if vehicle and method == "agent" else "system"


def _database_clock() -> datetime:
    """Return the database's time now. Leases use the same clock, so their times and those of decisions can be compared.

    now() would be the start of the transaction, which is before the locks were granted.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
        return at


def _check_subject(purpose: str, vehicle: Vehicle | None, owner: Owner | None) -> None:
    if (vehicle is None) == (owner is None) or (vehicle is None) != (purpose in PERSONAL):
        raise InvalidInput("This purpose is decided for " + ("a person." if purpose in PERSONAL else "a vehicle."))


def _check_can_give(owner: Owner, vehicle: Vehicle | None, notice: ConsentNotice, read_version: int | None) -> None:
    if read_version not in (None, notice.version):
        raise Conflict(TEXT_CHANGED_MESSAGE, code="notice_changed")
    if owner.deactivated_at or owner.erased_at:
        raise Conflict("This account is closed: it can withdraw consent but not give it.", code="account_closed")
    if vehicle and Vehicle.objects.filter(pk=vehicle.pk, retired_at__isnull=False).exists():
        raise Conflict("This vehicle is no longer in your account.", code="vehicle_retired")


def _repeats(current: ConsentCurrent, decision: str, notice: ConsentNotice) -> bool:
    """Return whether the decision equals the present state, so that no record is needed."""
    if decision != ConsentState.GIVEN:
        return current.state == decision
    return current.is_in_force and current.notice_version == notice.version and not may_renew(current)


def _mail_withdrawn_at_car(withdrawal: ConsentRecord) -> None:
    """Mail the owner: somebody else may have withdrawn the consent at the car."""
    context = {
        "purpose": withdrawal.purpose,
        "title": withdrawal.notice.title,
        "vehicle": str(withdrawal.vehicle.public_id) if withdrawal.vehicle else "",
        "at": withdrawal.at.isoformat(timespec="seconds"),
        "receipt_id": str(withdrawal.public_id),
    }
    outbox.queue(
        user=withdrawal.owner.user,
        kind="consent-withdrawn-in-car",
        dedupe_key=f"withdrawn:{withdrawal.public_id}",
        context=context,
    )
