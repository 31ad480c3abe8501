"""The last leg of payouts: from the owner's account at Stripe to the owner's bank, as Stripe reports it.

Stripe calls the payment from an account to its bank a payout too; here it is a BankPayout.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.mails import outbox
from billing.models import ConnectedAccount, Payout, StripeCommand
from billing.stripe import gateway
from billing.stripe.gateway import BankPayout, StripeUnavailable

WATCH_PERIOD = timedelta(days=30)  # how long `refresh_open` follows a payout
# Stripe's status of a payment to the bank -> our `bank_status`.
BANK_STATUSES = {
    "pending": "pending",
    "in_transit": "pending",
    "paid": "paid",
    "failed": "failed",
    "canceled": "failed",
}


class TransferNotStored(StripeUnavailable):
    """Stripe paid the bank before we stored the transfer that this money came from: try again in a moment."""

    code = "transfer_coming"


def apply(bank_payout: BankPayout) -> bool:
    """Store on our payouts what became of their money on the way to the bank. Returns False if no payout changed.

    May run any number of times, in any order. Stripe pays an account's whole balance to its bank, so a payment to the
    bank carries every transfer made before it that is not at the bank yet. A payment that fails after it was paid takes
    back only what it carried itself. Raises TransferNotStored while a transfer to that account is under way.
    """
    status = BANK_STATUSES.get(bank_payout.status)
    if status is None:
        return False
    with transaction.atomic():
        account = ConnectedAccount.objects.filter(stripe_id=bank_payout.account_id).first()
        if account is None:
            return False
        rows = list(_carried(account, bank_payout, status).select_related("owner__user"))
        for row in rows:
            row.bank_status, row.bank_payout_id = status, bank_payout.id
            row.bank_code = bank_payout.failure_code[:64]
            if status == "failed":
                _mail(row, bank_payout)
        Payout.objects.bulk_update(rows, ["bank_status", "bank_code", "bank_payout_id"])
    if Payout.objects.filter(account=account, status="sending", command__status=StripeCommand.Status.QUEUED).exists():
        raise TransferNotStored
    return bool(rows)


def refresh_open(*, limit: int = 200) -> int:
    """Ask Stripe about payouts that are not known to be at a bank, in case a webhook was lost.

    Returns the number of accounts asked about, at most `limit`. Raises StripeUnavailable.
    """
    waiting = Payout.objects.filter(
        status=Payout.Status.PAID, paid_at__gte=timezone.now() - WATCH_PERIOD, bank_status__in=["", "pending", "failed"]
    )
    accounts = ConnectedAccount.objects.filter(pk__in=waiting.values("account_id")).order_by("id")[:limit]
    for account in accounts:
        paid_since = waiting.filter(account=account).earliest("paid_at").paid_at
        assert paid_since is not None
        since_unix = int(paid_since.timestamp())
        for bank_payout in gateway.list_bank_payouts(account_id=str(account.stripe_id), since_unix=since_unix):
            apply(bank_payout)
    return len(accounts)


def _carried(account: ConnectedAccount, bank_payout: BankPayout, status: str) -> QuerySet[Payout]:
    """Return our payouts, locked, whose bank status changes.

    Those are payouts which this payment to the bank carried before, and payouts which no other one has delivered.
    """
    rows = Payout.objects.select_for_update(of=("self",)).filter(
        account=account, status=Payout.Status.PAID, paid_at__lte=bank_payout.created_at
    )
    changeable = {"paid": ["", "pending", "failed"], "failed": ["", "pending"], "pending": ["", "pending"]}[status]
    own = Q(bank_payout_id=bank_payout.id) & ~Q(bank_status=status)
    others = Q(bank_status__in=changeable) & ~Q(bank_payout_id=bank_payout.id)
    return rows.filter(own | others).order_by("id")


def _mail(row: Payout, bank_payout: BankPayout) -> None:
    outbox.queue(
        user=row.owner.user,
        kind="payout-bank-failed",
        dedupe_key=f"payout-bank-failed:{row.pk}:{bank_payout.id}",
        context={"amount_micro": row.amount_micro, "currency": row.currency},
    )
