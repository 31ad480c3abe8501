"""While a payment is disputed, or owed for, the organization orders nothing and its keys only read.

`suspended_at` and `lifted_at` of the disputes say that it was us, and for what: a suspension by somebody else stays.
"""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.access import audit
from accounts.models import Organization, User
from billing.ledger.locks import lock
from billing.models import CardDispute, LedgerAccount

Status = CardDispute.Status


def reconsider(organization: Organization) -> None:
    """Suspend, or lift what we suspended. In the caller's transaction, which holds the organization."""
    disputes = CardDispute.objects.filter(organization=organization)
    ours = disputes.filter(suspended_at__isnull=False, lifted_at=None)
    reasons = _reasons(organization)
    now = timezone.now()
    if not reasons and ours.exists():
        ours.update(lifted_at=now)
        _set(organization, Organization.Status.ACTIVE, actor=None)
    elif reasons and not ours.exists() and organization.status == Organization.Status.ACTIVE:
        # Each dispute suspends once: after an operator's word it is no reason any more.
        new = [dispute.pk for dispute in reasons if dispute.suspended_at is None][:1]
        if new:
            disputes.filter(pk__in=new).update(suspended_at=now)
            _set(organization, Organization.Status.SUSPENDED, actor=None)


def lift(*, organization: Organization, actor: User) -> None:
    """An operator's word that the organization may go on in spite of the disputes there are now. Twice is once."""
    with transaction.atomic():
        organization = lock(organization.pk)
        now = timezone.now()
        disputes = CardDispute.objects.filter(organization=organization)
        disputes.filter(suspended_at=None).update(suspended_at=now)
        if disputes.filter(lifted_at=None).update(lifted_at=now):
            _set(organization, Organization.Status.ACTIVE, actor=actor)


def _reasons(organization: Organization) -> list[CardDispute]:
    """Open ones, lost ones while money is owed, and lost ones that we had to write off; newest first."""
    owes = LedgerAccount.objects.filter(
        organization=organization, kind=LedgerAccount.Kind.DISPUTED, balance_micro__gt=0
    ).exists()
    lost = Q(status=Status.LOST) if owes else Q(status=Status.LOST, written_off_at__isnull=False)
    wanted = Q(status__in=CardDispute.OPEN) | lost
    return list(CardDispute.objects.filter(wanted, organization=organization).order_by("-id"))


def _set(organization: Organization, status: str, *, actor: User | None) -> None:
    if organization.status == status:
        return
    organization.status = status
    organization.save(update_fields=["status"])
    word = "suspended" if status == Organization.Status.SUSPENDED else "unsuspended"
    audit.record(actor=actor, action=f"organization.{word}", subject=organization.public_id, reason="card_dispute")
