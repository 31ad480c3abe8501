"""An owner who leaves is paid first: one last statement up to this moment, without the minimum, and its payout."""

from collections.abc import Callable
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from accounts.models import Owner, User
from accounts.services import audit
from billing.minor_units import micro_per_minor
from billing.models import LedgerAccount, Payout
from billing.services import connected_accounts
from marketplace.core.errors import Conflict

# Closes the owner's statements up to a moment, whatever the minimum is, and makes their payouts: part of `statements`.
CLOSE: Callable[[Owner, datetime], object] | None = None
UNDER_WAY = (Payout.Status.SCHEDULED, Payout.Status.SENDING)


def is_possible(owner: Owner) -> bool:
    """Whether there is something to pay, and somewhere to pay it to."""
    return _refusal(owner) is None


def under_way(owner: Owner) -> bool:
    """Whether a payout has still to arrive."""
    return Payout.objects.filter(owner=owner, status__in=UNDER_WAY).exists()


def start(*, owner: Owner, actor: User | None) -> list[Payout]:
    """Close what was earned up to now and have it paid; the payouts that are under way then. Asking again pays what came since.

    Raises Conflict: `final_payouts_off`, `account_not_ready`, `nothing_owed`.
    """
    refusal = _refusal(owner)
    if refusal:
        raise refusal
    assert CLOSE is not None  # or _refusal would have said so
    CLOSE(owner, timezone.now())
    audit.record(actor=actor, action="payout.final", subject=owner.public_id)
    return list(Payout.objects.filter(owner=owner, status__in=UNDER_WAY))


def _refusal(owner: Owner) -> Conflict | None:
    if CLOSE is None:
        return Conflict("Last payouts are switched off here.", code="final_payouts_off")
    account = connected_accounts.of(owner)
    if account is None or account.status != account.Status.ACTIVE:
        return Conflict("Stripe cannot pay you yet.", code="account_not_ready")
    owed = LedgerAccount.objects.filter(Q(kind="payable"), owner=owner).values_list("balance_micro", "currency")
    if not any(micro >= micro_per_minor(currency) for micro, currency in owed):
        return Conflict("Nothing is owed to you that could be paid.", code="nothing_owed")
    return None
