"""What a customer sees of the wallet: its movements, straight from the ledger, and its top-ups."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts.models import Organization
from billing.models import CardTopUp, LedgerAccount, LedgerTransfer, TopUp


@dataclass(frozen=True)
class Movement:
    """One transfer as the wallet felt it. `after_micro` is what was free to spend when it was done."""

    kind: str
    amount_micro: int
    after_micro: int
    at: datetime
    reference: str


def movements(organization: Organization, *, limit: int) -> list[Movement]:
    """The last movements of the wallet, newest first. The balance is walked back from today's."""
    account = LedgerAccount.objects.filter(
        organization=organization, kind=LedgerAccount.Kind.WALLET, currency=organization.currency
    ).first()
    if account is None:
        return []
    transfers = LedgerTransfer.objects.filter(Q(debit=account) | Q(credit=account)).order_by("-id")[:limit]
    return list(_walk(account, transfers))


def _walk(account: LedgerAccount, transfers: Iterable[LedgerTransfer]) -> Iterator[Movement]:
    after = account.balance_micro
    for transfer in transfers:
        amount = transfer.amount_micro if transfer.credit_id == account.pk else -transfer.amount_micro
        yield Movement(transfer.kind, amount, after, transfer.posted_at, str(transfer.public_id))
        after -= amount


@dataclass(frozen=True)
class TopUpRow:
    """A top-up by whatever way, with its state in words for `status`."""

    public_id: UUID
    by_card: bool
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
                row.public_id, True, row.status, row.get_status_display(), row.amount_micro,
                row.declined_code if row.status == row.Status.OPEN else row.status_code, row.created_at, row.page_url,
            )
            for row in cards
        ),
        *(
            TopUpRow(row.public_id, False, "paid", "Paid", row.amount_micro, row.reference, row.created_at, "")
            for row in manual
        ),
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.at, reverse=True)[:limit]
