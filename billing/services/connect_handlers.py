"""Events of the accounts that we pay. As in event_handlers: fetch what the event names, then act on that."""

from collections.abc import Callable

from django.db.models import Q
from django.utils import timezone

from billing import gateway
from billing.models import ConnectedAccount
from billing.services import bank_payouts, connected_accounts


def _account(account_id: str) -> bool:
    """Of API v2, about an account. One that we do not know may be ours: its answer may have got lost."""
    known = Q(stripe_id=account_id) | Q(stripe_id=None, command__outcome_unknown=True)
    if not ConnectedAccount.objects.filter(known).exists():
        return False
    asked_at = timezone.now()
    return connected_accounts.apply(gateway.retrieve_account(account_id), asked_at=asked_at) is not None


def _bank_payout(account_id: str, payout_id: str) -> bool:
    if not ConnectedAccount.objects.filter(stripe_id=account_id).exists():
        return False
    return bank_payouts.apply(gateway.retrieve_bank_payout(payout_id, account_id=account_id))


# Takes the id of the event's object; False when it is nothing of ours.
THIN: dict[str, Callable[[str], bool]] = {
    "v2.core.account[requirements].updated": _account,
    "v2.core.account[configuration.recipient].capability_status_updated": _account,
    "v2.core.account.closed": _account,
}
# Takes the account on which it happened, and the id of the object there.
CONNECTED: dict[str, Callable[[str, str], bool]] = {
    "payout.created": _bank_payout,
    "payout.updated": _bank_payout,
    "payout.paid": _bank_payout,
    "payout.failed": _bank_payout,
    "payout.canceled": _bank_payout,
}
