"""What a customer sees of the wallet: its movements, straight from the ledger, and its top-ups."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts.models import Organization
from billing.models import CardTopUp, LedgerAccount, LedgerTransfer, TopUp

Kind = LedgerAccount.Kind


@dataclass(frozen=True)
class Movement:
    """One transfer as the customer felt it. `after_micro` is what was free to spend when it was done."""

    kind: str
    is_promo: bool  # of the promotional credit
    amount_micro: int
    after_micro: int
    at: datetime
    reference: str


def movements(organization: Organization, *, limit: int) -> list[Movement]:
    """The last movements of what is free to spend, newest first. The balance is walked back from today's."""
    spendable = LedgerAccount.objects.filter(
        organization=organization, kind__in=[Kind.WALLET, Kind.PROMO_WALLET], currency=organization.currency
    )
    accounts = {account.pk: account for account in spendable}
    ids = list(accounts)
    transfers = LedgerTransfer.objects.filter(Q(debit__in=ids) | Q(credit__in=ids)).order_by("-id")[:limit]
    return list(_walk(accounts, transfers)) if accounts else []


def _walk(accounts: dict[int, LedgerAccount], transfers: Iterable[LedgerTransfer]) -> Iterator[Movement]:
    after = sum(account.balance_micro for account in accounts.values())
    for transfer in transfers:
        came = transfer.credit_id in accounts
        account = accounts[transfer.credit_id if came else transfer.debit_id]
        amount = transfer.amount_micro if came else -transfer.amount_micro
        is_promo = account.kind == Kind.PROMO_WALLET
        yield Movement(transfer.kind, is_promo, amount, after, transfer.posted_at, str(transfer.public_id))
        after -= amount


@dataclass(frozen=True)
class TopUpRow:
    """A top-up by whatever way, with its state in words for `status`."""

    public_id: UUID
    by: str  # checkout, auto or manual
    status: str
    status_label: str
    amount_micro: int
    note: str
    at: datetime
    page_url: str


def top_ups(organization: Organization, *, limit: int) -> list[TopUpRow]:
    """By card in every state, and what operators entered; newest first."""
    cards = CardTopUp.objects.filter(organization=organization).order_by("-id")[:limit]
    manual = TopUp.objects.filter(organization=organization, method=TopUp.Method.MANUAL).order_by("-id")[:limit]
    rows = [
        *(
            TopUpRow(
                row.public_id,
                row.origin,
                row.status,
                row.get_status_display(),
                row.amount_micro,
                row.declined_code if row.status == row.Status.OPEN else row.status_code,
                row.created_at,
                row.page_url,
            )
            for row in cards
        ),
        *(
            TopUpRow(row.public_id, "manual", "paid", "Paid", row.amount_micro, row.reference, row.created_at, "")
            for row in manual
        ),
    ]
    return sorted(rows, key=lambda row: row.at, reverse=True)[:limit]
