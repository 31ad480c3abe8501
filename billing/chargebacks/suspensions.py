"""Suspension of a customer for chargebacks: it cannot order, and its API keys only read, while one is open or owed for.

A dispute's `suspended_at` and `lifted_at` record that the organization was suspended for it. So only our own suspension
is lifted here: one that an operator made stays.
"""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.access import audit
from accounts.models import Organization, User
from billing.ledger.locks import lock
from billing.models import CardDispute, LedgerAccount

Status = CardDispute.Status


def update_suspension(organization: Organization) -> None:
    """Suspend the organization if its disputes require it, or lift our own suspension if they no longer do.

    Call it in a transaction that has locked the organization.
    """
    disputes = CardDispute.objects.filter(organization=organization)
    suspending = disputes.filter(suspended_at__isnull=False, lifted_at=None)
    reasons = _reasons(organization)
    now = timezone.now()
    if not reasons and suspending.exists():
        suspending.update(lifted_at=now)
        _set_status(organization, Organization.Status.ACTIVE, actor=None)
    elif reasons and not suspending.exists() and organization.status == Organization.Status.ACTIVE:
        # Each dispute suspends once: after an operator has lifted the suspension it is no reason for another one.
        new = [dispute.pk for dispute in reasons if dispute.suspended_at is None][:1]
        if new:
            disputes.filter(pk__in=new).update(suspended_at=now)
            _set_status(organization, Organization.Status.SUSPENDED, actor=None)


def lift(*, organization: Organization, actor: User) -> None:
    """Lift the suspension by an operator's decision; the disputes that exist now suspend no more. Repeatable."""
    with transaction.atomic():
        organization = lock(organization.pk)
        now = timezone.now()
        disputes = CardDispute.objects.filter(organization=organization)
        disputes.filter(suspended_at=None).update(suspended_at=now)
        if disputes.filter(lifted_at=None).update(lifted_at=now):
            _set_status(organization, Organization.Status.ACTIVE, actor=actor)


def _reasons(organization: Organization) -> list[CardDispute]:
    """Return the disputes that justify a suspension, newest first.

    These are open ones, lost ones while the organization owes money, and lost ones that we had to write off.
    """
    owes = LedgerAccount.objects.filter(
        organization=organization, kind=LedgerAccount.Kind.DISPUTED, balance_micro__gt=0
    ).exists()
    lost = Q(status=Status.LOST) if owes else Q(status=Status.LOST, written_off_at__isnull=False)
    wanted = Q(status__in=CardDispute.OPEN) | lost
    return list(CardDispute.objects.filter(wanted, organization=organization).order_by("-id"))


def _set_status(organization: Organization, status: str, *, actor: User | None) -> None:
    if organization.status == status:
        return
    organization.status = status
    organization.save(update_fields=["status"])
    change = "suspended" if status == Organization.Status.SUSPENDED else "unsuspended"
    audit.record(actor=actor, action=f"organization.{change}", subject=organization.public_id, reason="card_dispute")
