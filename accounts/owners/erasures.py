"""Requests to erase an owner: schedule, cancel, and find those that are due.

marketplace/privacy/erasure.py carries them out.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.db.models import Case, Q, When
from django.utils import timezone

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import ErasureRequest, Membership, Operator, Owner, User
from accounts.owners import closing
from core.db import atomic_retrying
from core.errors import Conflict, NotFound
from core.states import transition

CLOSED_BEFORE = "closed_before"  # the account was closed before the request: cancelling the erasure leaves it closed
UNFINISHED = "unfinished"  # carrying it out has failed: an operator must look
SALT = "accounts.erasure"


@atomic_retrying
def request(*, owner: Owner, actor: User | None, cooling_off: timedelta | None = None) -> ErasureRequest:
    """Schedule the erasure of an owner, close the account and withdraw every consent at once.

    Return the request; a repeated call returns the one that is scheduled. Raises Conflict `erased`, or Conflict
    `other_roles` for an owner who also works for a customer or for Driveway, whose user must not be erased.
    """
    owner = Owner.objects.select_for_update(no_key=True).select_related("user").get(pk=owner.pk)
    if owner.erased_at:
        raise Conflict("This account has been erased.", code="erased")
    scheduled = owner.erasures.filter(status=ErasureRequest.Status.SCHEDULED).first()
    if scheduled:
        return scheduled
    if Membership.objects.filter(user=owner.user).exists() or Operator.objects.filter(user=owner.user).exists():
        raise Conflict("This sign-in is also a customer's or staff's. Leave that role first.", code="other_roles")
    wait = timedelta(days=settings.ERASURE_COOLING_OFF_DAYS) if cooling_off is None else cooling_off
    ended = closing.end_consents(owner=owner, actor=actor, method="erasure")
    row = ErasureRequest.objects.create(
        owner=owner, due_at=timezone.now() + wait, status_code=CLOSED_BEFORE if owner.deactivated_at else ""
    )
    Owner.objects.filter(pk=owner.pk, deactivated_at=None).update(deactivated_at=timezone.now())
    audit.record(actor=actor, action="erasure.request", subject=owner.public_id, consents=ended)
    outbox.queue(
        user=owner.user,
        kind="erasure-scheduled",
        dedupe_key=f"erasure-scheduled:{row.pk}",
        context={
            "token": token_of(row),
            "due_at": row.due_at.isoformat(),
            "wait_days": settings.ERASURE_MONEY_WAIT_DAYS,
        },
    )
    return row


@atomic_retrying
def cancel(*, request: ErasureRequest, actor: User | None) -> bool:
    """Cancel the erasure and open the account again, unless it was closed before the request. Consents stay withdrawn.

    Return False if it is cancelled already. Raises Conflict `erasure_begun` once the erasure is carried out, or is due
    and does not wait for money. Locks the owner's row first, then the request's.
    """
    owner = Owner.objects.select_for_update(no_key=True).get(pk=request.owner_id)
    row = ErasureRequest.objects.select_for_update(of=["self"]).get(pk=request.pk)
    if row.status == ErasureRequest.Status.CANCELLED:
        return False
    begun = row.due_at <= timezone.now() and not row.waits_for_money
    if row.status != ErasureRequest.Status.SCHEDULED or begun:
        raise Conflict("The erasure has begun and cannot be taken back.", code="erasure_begun")
    status_code = row.status_code  # transition overwrites it
    transition(row, ErasureRequest.Status.CANCELLED, ended_at=timezone.now())
    if status_code != CLOSED_BEFORE:
        Owner.objects.filter(pk=owner.pk).update(deactivated_at=None)
    audit.record(actor=actor, action="erasure.cancel", subject=owner.public_id)
    return True


def scheduled(owner: Owner) -> ErasureRequest | None:
    """Return the owner's scheduled erasure, or None."""
    return owner.erasures.filter(status=ErasureRequest.Status.SCHEDULED).first()


@atomic_retrying
def settle_waits(*, is_owed: Q, now: datetime) -> list[ErasureRequest]:
    """Decide which due erasures wait because their owners are still owed money. Return those that wait.

    `is_owed` is a condition on ErasureRequest: the owner is owed money that can still be paid. The caller passes it,
    since accounts knows nothing about money. When an erasure starts to wait, its owner gets a mail with the reason and
    the deadline, which is never moved. It ends its wait when the owner has been paid or the deadline has passed, and
    then cannot be cancelled.
    """
    rows = ErasureRequest.objects.filter(status=ErasureRequest.Status.SCHEDULED, due_at__lte=now)
    rows = rows.exclude(status_code=UNFINISHED).select_for_update(of=["self"]).order_by("pk")
    is_open = Q(money_until_at=None) | Q(money_until_at__gt=now)
    waiting = list(rows.filter(is_open, is_owed).select_related("owner__user"))
    waiting_ids = {row.pk for row in waiting}
    paid = [row.pk for row in rows.filter(is_open) if row.pk not in waiting_ids]
    ErasureRequest.objects.filter(pk__in=paid).update(money_until_at=now)
    for row in waiting:
        if row.money_until_at is None:
            _start_wait(row)
    return [row for row in waiting if row.money_until_at and row.money_until_at > now]


def _start_wait(row: ErasureRequest) -> None:
    row.money_until_at = row.due_at + timedelta(days=settings.ERASURE_MONEY_WAIT_DAYS)
    row.save(update_fields=["money_until_at"])
    if not row.waits_for_money:
        return  # the deadline has passed before this first check: do not wait
    audit.record(actor=None, action="erasure.wait", subject=row.owner.public_id)
    outbox.queue(
        user=row.owner.user,
        kind="erasure-waits",
        dedupe_key=f"erasure-waits:{row.pk}",
        context={"token": token_of(row), "until_at": row.money_until_at.isoformat()},
    )


def due(*, now: datetime | None = None) -> list[ErasureRequest]:
    """Return up to 50 erasures to carry out: their cooling-off period is over and they do not wait for money.

    Oldest first, but those that failed before come last. Pass the `now` that was given to settle_waits, so that an
    erasure that has become due since then is not carried out before it was checked for money.
    """
    now = now or timezone.now()
    rows = ErasureRequest.objects.filter(status=ErasureRequest.Status.SCHEDULED, due_at__lte=now)
    rows = rows.exclude(money_until_at__gt=now)
    failed = Case(When(status_code=UNFINISHED, then=1), default=0)
    return list(rows.select_related("owner__user").order_by(failed, "due_at")[:50])


def token_of(request: ErasureRequest) -> str:
    """Return the signed token of the mailed link, which can cancel this erasure and do nothing else."""
    return signing.Signer(salt=SALT).sign(str(request.public_id))


def erasure_of_token(token: str) -> ErasureRequest:
    """Return the erasure request of a token. Raises NotFound for a token that we did not sign."""
    try:
        public_id = signing.Signer(salt=SALT).unsign(token)
    except signing.BadSignature as error:
        raise NotFound("This link is not valid.") from error
    return ErasureRequest.objects.select_related("owner").get(public_id=public_id)
