"""An owner who leaves is paid first: one last statement up to this moment, without the minimum, and its payout."""

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.access import audit
from accounts.models import Owner, User
from billing.models import LedgerAccount, Payout
from billing.payouts import accounts as connected_accounts
from billing.statements import statements
from billing.stripe.amounts import DIGITS, micro_per_minor
from compute.models import Attempt, UsageRecord
from core.errors import Conflict

OWED = (LedgerAccount.Kind.PAYABLE, LedgerAccount.Kind.RESERVE, LedgerAccount.Kind.IN_TRANSIT)
UNDER_WAY = (Payout.Status.SCHEDULED, Payout.Status.SENDING)


def is_possible(owner: Owner) -> bool:
    """Whether there is something to pay, and somewhere to pay it to."""
    return _refusal(owner) is None


def under_way(owner: Owner) -> bool:
    """Whether a payout has still to arrive."""
    return Payout.objects.filter(owner=owner, status__in=UNDER_WAY).exists()


def is_owed(owner: str = "owner_id") -> Q:
    """Whether something can still become a payout: of rows that have this column of an owner's id, for any number of them.

    Whole coins that are owed, held for a dispute or on their way, and work that is still being checked. What is less than a coin
    can be paid to nobody. Of what an owner owes us, nothing is waited for.
    """
    accounts = LedgerAccount.objects.filter(_whole_coins(), kind__in=OWED, owner_id=OuterRef(owner))
    return Q(Exists(accounts)) | _is_unpaid(owner)


def work_unpaid(owner: Owner) -> bool:
    """Whether work of the owner's was reported and not yet verified, or verified and not yet settled."""
    return Owner.objects.filter(_is_unpaid("pk"), pk=owner.pk).exists()


def _is_unpaid(owner: str) -> Q:
    reported = Attempt.objects.filter(status=Attempt.Status.REPORTED, owner_id=OuterRef(owner))
    return Q(Exists(reported)) | Q(Exists(UsageRecord.objects.filter(settled_at=None, owner_id=OuterRef(owner))))


def _whole_coins() -> Q:
    others = Q()
    for currency in DIGITS:
        others |= Q(currency=currency, balance_micro__gte=micro_per_minor(currency))
    return Q(balance_micro__gte=micro_per_minor("USD")) & ~Q(currency__in=DIGITS) | others


def start(*, owner: Owner, actor: User | None) -> list[Payout]:
    """Close what was earned up to now and have it paid; the payouts that are under way then. Asking again pays what came since.

    Raises Conflict: `account_not_ready`, `nothing_owed`.
    """
    refusal = _refusal(owner)
    if refusal:
        raise refusal
    statements.close_owner(owner=owner, until=timezone.now())
    audit.record(actor=actor, action="payout.final", subject=owner.public_id)
    return list(Payout.objects.filter(owner=owner, status__in=UNDER_WAY))


def _refusal(owner: Owner) -> Conflict | None:
    account = connected_accounts.of(owner)
    if account is None or account.status != account.Status.ACTIVE:
        return Conflict("Stripe cannot pay you yet.", code="account_not_ready")
    owed = LedgerAccount.objects.filter(Q(kind="payable"), owner=owner).values_list("balance_micro", "currency")
    if not any(micro >= micro_per_minor(currency) for micro, currency in owed):
        return Conflict("Nothing is owed to you that could be paid.", code="nothing_owed")
    return None
