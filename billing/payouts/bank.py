"""How payouts fared after Stripe: from the owner's account there to the owner's bank, as Stripe says it."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.mails import outbox
from billing.models import ConnectedAccount, Payout, StripeCommand
from billing.stripe import gateway
from billing.stripe.gateway import BankPayout, StripeUnavailable

WATCHED = timedelta(days=30)
SAID = {"pending": "pending", "in_transit": "pending", "paid": "paid", "failed": "failed", "canceled": "failed"}


class TransferComing(StripeUnavailable):
    """Stripe paid the bank before we wrote down the transfer that it was paid from: look again in a moment."""

    code = "transfer_coming"


def apply(said: BankPayout) -> bool:
    """Note on our payouts what became of their money. In any order, any number of times. False when none is concerned.

    Stripe pays an account's whole balance to its bank, so a payout to the bank carries every transfer made before it that
    is not at the bank yet. One that was paid and failed later takes back only what it carried itself.
    Raises TransferComing while a transfer to that account is under way.
    """
    status = SAID.get(said.status)
    if status is None:
        return False
    with transaction.atomic():
        account = ConnectedAccount.objects.filter(stripe_id=said.account_id).first()
        if account is None:
            return False
        rows = list(_carried(account, said, status).select_related("owner__user"))
        for row in rows:
            row.bank_status, row.bank_code, row.bank_payout_id = status, said.failure_code[:64], said.id
            if status == "failed":
                _mail(row, said)
        Payout.objects.bulk_update(rows, ["bank_status", "bank_code", "bank_payout_id"])
    if Payout.objects.filter(account=account, status="sending", command__status=StripeCommand.Status.QUEUED).exists():
        raise TransferComing
    return bool(rows)


def refresh_open(*, limit: int = 200) -> int:
    """Ask Stripe about payouts that are not known to be at a bank: what no webhook brought. How many accounts were asked.

    Raises StripeUnavailable.
    """
    waiting = Payout.objects.filter(
        status=Payout.Status.PAID, paid_at__gte=timezone.now() - WATCHED, bank_status__in=["", "pending", "failed"]
    )
    accounts = ConnectedAccount.objects.filter(pk__in=waiting.values("account_id")).order_by("id")[:limit]
    for account in accounts:
        first = waiting.filter(account=account).earliest("paid_at").paid_at
        assert first is not None
        for said in gateway.list_bank_payouts(account_id=str(account.stripe_id), since_unix=int(first.timestamp())):
            apply(said)
    return len(accounts)


def _carried(account: ConnectedAccount, said: BankPayout, status: str) -> QuerySet[Payout]:
    """Those whose state this changes: its own, and those that no other payout to the bank has brought there."""
    rows = Payout.objects.select_for_update(of=("self",)).filter(
        account=account, status=Payout.Status.PAID, paid_at__lte=said.created_at
    )
    open_ones = {"paid": ["", "pending", "failed"], "failed": ["", "pending"], "pending": ["", "pending"]}[status]
    own = Q(bank_payout_id=said.id) & ~Q(bank_status=status)
    others = Q(bank_status__in=open_ones) & ~Q(bank_payout_id=said.id)
    return rows.filter(own | others).order_by("id")


def _mail(row: Payout, said: BankPayout) -> None:
    outbox.queue(
        user=row.owner.user,
        kind="payout-bank-failed",
        dedupe_key=f"payout-bank-failed:{row.pk}:{said.id}",
        context={"amount_micro": row.amount_micro, "currency": row.currency},
    )
