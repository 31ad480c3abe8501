"""What a customer sees of the wallet: its movements, read from the ledger, and its top-ups."""

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
    """One transfer from the customer's side."""

    kind: str
    is_promo: bool  # it moved promotional credit
    amount_micro: int  # positive: into the wallet
    after_micro: int  # the available balance after the transfer
    at: datetime
    reference: str


def movements(organization: Organization, *, limit: int) -> list[Movement]:
    """Return the last movements of the available balance, newest first.

    Balances after each movement are computed backwards from today's balance.
    """
    spendable = LedgerAccount.objects.filter(
        organization=organization, kind__in=[Kind.WALLET, Kind.PROMO_WALLET], currency=organization.currency
    )
    accounts = {account.pk: account for account in spendable}
    ids = list(accounts)
    transfers = LedgerTransfer.objects.filter(Q(debit__in=ids) | Q(credit__in=ids)).order_by("-id")[:limit]
    return list(_walk(accounts, transfers)) if accounts else []


def _walk(accounts: dict[int, LedgerAccount], transfers: Iterable[LedgerTransfer]) -> Iterator[Movement]:
    after_micro = sum(account.balance_micro for account in accounts.values())
    for transfer in transfers:
        is_incoming = transfer.credit_id in accounts
        account = accounts[transfer.credit_id if is_incoming else transfer.debit_id]
        amount_micro = transfer.amount_micro if is_incoming else -transfer.amount_micro
        is_promo = account.kind == Kind.PROMO_WALLET
        yield Movement(transfer.kind, is_promo, amount_micro, after_micro, transfer.posted_at, str(transfer.public_id))
        after_micro -= amount_micro


@dataclass(frozen=True)
class TopUpRow:
    """A top-up of any origin, with a label for its status."""

    public_id: UUID
    by: str  # checkout, auto or manual
    status: str
    status_label: str
    amount_micro: int
    note: str
    at: datetime
    page_url: str


def top_ups(organization: Organization, *, limit: int) -> list[TopUpRow]:
    """Return top-ups by card in every state and those that operators entered, newest first."""
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
