"""The final payout of an owner who leaves: a last statement up to now, and its payout without the usual minimum."""

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

OWED_KINDS = (LedgerAccount.Kind.PAYABLE, LedgerAccount.Kind.RESERVE, LedgerAccount.Kind.IN_TRANSIT)
UNDER_WAY_STATUSES = (Payout.Status.SCHEDULED, Payout.Status.SENDING)


def is_possible(owner: Owner) -> bool:
    """Return whether the owner is owed something that can be paid, and has an account that is ready."""
    return _refusal(owner) is None


def is_under_way(owner: Owner) -> bool:
    """Return whether a payout of the owner is scheduled or being sent."""
    return Payout.objects.filter(owner=owner, status__in=UNDER_WAY_STATUSES).exists()


def owed_condition(owner: str = "owner_id") -> Q:
    """Return a filter for rows whose owner may still be paid something; `owner` is their column with the owner's id.

    It matches owners with at least one coin (the currency's smallest unit, such as a cent) owed, held for a dispute or
    in transit, and owners whose work is still being verified or settled. Less than a coin cannot be paid. What an owner
    owes us does not match.
    """
    accounts = LedgerAccount.objects.filter(_whole_coins(), kind__in=OWED_KINDS, owner_id=OuterRef(owner))
    return Q(Exists(accounts)) | _is_unpaid(owner)


def has_unpaid_work(owner: Owner) -> bool:
    """Return whether work of the owner was reported and is not verified yet, or verified and not settled yet."""
    return Owner.objects.filter(_is_unpaid("pk"), pk=owner.pk).exists()


def _is_unpaid(owner: str) -> Q:
    reported = Attempt.objects.filter(status=Attempt.Status.REPORTED, owner_id=OuterRef(owner))
    return Q(Exists(reported)) | Q(Exists(UsageRecord.objects.filter(settled_at=None, owner_id=OuterRef(owner))))


def _whole_coins() -> Q:
    # DIGITS lists the currencies whose coin is not a hundredth.
    exceptions = Q()
    for currency in DIGITS:
        exceptions |= Q(currency=currency, balance_micro__gte=micro_per_minor(currency))
    return Q(balance_micro__gte=micro_per_minor("USD")) & ~Q(currency__in=DIGITS) | exceptions


def start(*, owner: Owner, actor: User | None) -> list[Payout]:
    """Make the last statement, up to now, and return the owner's payouts that are under way then.

    Asking again pays what was earned meanwhile. Raises Conflict (`account_not_ready`, `nothing_owed`).
    """
    refusal = _refusal(owner)
    if refusal:
        raise refusal
    statements.close_owner(owner=owner, until=timezone.now())
    audit.record(actor=actor, action="payout.final", subject=owner.public_id)
    return list(Payout.objects.filter(owner=owner, status__in=UNDER_WAY_STATUSES))


def _refusal(owner: Owner) -> Conflict | None:
    account = connected_accounts.account_of(owner)
    if account is None or account.status != account.Status.ACTIVE:
        return Conflict("Stripe cannot pay you yet.", code="account_not_ready")
    owed = LedgerAccount.objects.filter(Q(kind="payable"), owner=owner).values_list("balance_micro", "currency")
    if not any(micro >= micro_per_minor(currency) for micro, currency in owed):
        return Conflict("You are owed nothing that can be paid out.", code="nothing_owed")
    return None
