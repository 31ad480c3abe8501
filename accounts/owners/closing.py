"""An account that is closed: no consent, no work; the owner still signs in, and what was earned is still paid."""

import contextlib

from django.utils import timezone

from accounts.access import audit
from accounts.consents import consents
from accounts.mails import outbox
from accounts.models import IN_FORCE, ConsentCurrent, ConsentState, Owner, User
from core.db import atomic_retrying
from core.errors import Conflict


def end_consents(*, owner: Owner, actor: User | None, method: str, vehicle_id: int | None = None) -> int:
    """Withdraw every consent in force, of one vehicle or of all and the person's own. Returns how many that were.

    Call it inside the transaction of the act: the database ends leases and deletes histories with each.
    """
    held = ConsentCurrent.objects.filter(owner=owner, state__in=IN_FORCE).select_related("vehicle").order_by("id")
    if vehicle_id is not None:
        held = held.filter(vehicle_id=vehicle_id)
    count = 0
    for current in held:
        subject = {"vehicle": current.vehicle} if current.vehicle else {"owner": owner}
        with contextlib.suppress(Conflict):  # it ended by itself meanwhile
            consents.decide(
                purpose=current.purpose, decision=ConsentState.WITHDRAWN, actor=actor, method=method, **subject
            )
            count += 1
    return count


@atomic_retrying
def close(*, owner: Owner, actor: User | None) -> int:
    """Close the account: every consent is withdrawn, no new one can be given. Closing twice changes nothing.

    Returns how many consents ended. Earnings stay and are paid. Raises Conflict for an erased account.
    """
    owner = Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if owner.erased_at:
        raise Conflict("This account has been erased.", code="erased")
    if owner.deactivated_at:
        return 0
    ended = end_consents(owner=owner, actor=actor, method="closed")
    Owner.objects.filter(pk=owner.pk).update(deactivated_at=timezone.now())
    audit.record(actor=actor, action="owner.close", subject=owner.public_id, consents=ended)
    outbox.queue(user=owner.user, kind="account-closed", dedupe_key=f"account-closed:{owner.pk}:{timezone.now():%F}")
    return ended


@atomic_retrying
def reopen(*, owner: Owner, actor: User | None) -> None:
    """Open a closed account again. Consents stay withdrawn: each is asked anew. Raises Conflict while an erasure is due."""
    owner = Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if owner.erased_at or owner.erasures.filter(status="scheduled").exists():
        raise Conflict("An erasure of this account is under way: take it back first.", code="erasure_scheduled")
    if Owner.objects.filter(pk=owner.pk, deactivated_at__isnull=False).update(deactivated_at=None):
        audit.record(actor=actor, action="owner.reopen", subject=owner.public_id)
