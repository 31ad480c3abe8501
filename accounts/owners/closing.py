"""Close and reopen an owner's account.

While closed it has no consent and its cars do no work; earnings are still paid.
"""

import contextlib

from django.utils import timezone

from accounts.access import audit
from accounts.consents import consents
from accounts.mails import outbox
from accounts.models import IN_FORCE, ConsentCurrent, ConsentState, Owner, User
from core.db import atomic_retrying
from core.errors import Conflict


def end_consents(*, owner: Owner, actor: User | None, method: str, vehicle_id: int | None = None) -> int:
    """Withdraw the consents in force of one vehicle, or of all vehicles and of the owner in person. Return how many.

    Call it in the transaction of the act that ends them: with each consent, triggers also end leases and delete
    histories.
    """
    in_force = ConsentCurrent.objects.filter(owner=owner, state__in=IN_FORCE).select_related("vehicle").order_by("id")
    if vehicle_id is not None:
        in_force = in_force.filter(vehicle_id=vehicle_id)
    count = 0
    for current in in_force:
        subject = {"vehicle": current.vehicle} if current.vehicle else {"owner": owner}
        with contextlib.suppress(Conflict):  # it has expired or been withdrawn since the query
            consents.decide(
                purpose=current.purpose, decision=ConsentState.WITHDRAWN, actor=actor, method=method, **subject
            )
            count += 1
    return count


@atomic_retrying
def close(*, owner: Owner, actor: User | None) -> int:
    """Close the account: withdraw every consent and allow no new one. Return how many consents were withdrawn.

    Earnings stay and are paid. Closing it again changes nothing. Raises Conflict `erased` for an erased account.
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
    """Open a closed account again. Consents stay withdrawn: the owner is asked for each again.

    Raises Conflict `erased` for an erased account, `erasure_scheduled` for one whose erasure is scheduled.
    """
    owner = Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if owner.erased_at:
        raise Conflict("This account has been erased.", code="erased")
    if owner.erasures.filter(status="scheduled").exists():
        raise Conflict("An erasure of this account is under way: take it back first.", code="erasure_scheduled")
    if Owner.objects.filter(pk=owner.pk, deactivated_at__isnull=False).update(deactivated_at=None):
        audit.record(actor=actor, action="owner.reopen", subject=owner.public_id)
