"""Reading the ledger in the back office: an account's transfers with balances, and what a transfer belongs to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Model, Q, QuerySet

from billing.models import (
    Approval,
    BalanceTransaction,
    CardDispute,
    Dispute,
    JobOrder,
    LedgerAccount,
    LedgerTransfer,
    Payout,
    UsageVoid,
)

PAGE = 50

# By account, what the transfers after an id moved. The indexes of debits and of credits are read for these accounts
# only.
SUMS = """
SELECT a.id, a.side * (
           COALESCE((SELECT sum(amount_micro) FROM billing_ledgertransfer
                      WHERE debit_id = a.id AND id > %(after)s), 0)
         - COALESCE((SELECT sum(amount_micro) FROM billing_ledgertransfer
                      WHERE credit_id = a.id AND id > %(after)s), 0))
  FROM billing_ledgeraccount a WHERE a.id = ANY(%(accounts)s)
"""


@dataclass(frozen=True)
class Movement:
    """One transfer as seen from an account."""

    transfer: LedgerTransfer
    other: LedgerAccount  # the account on the other side
    amount_micro: int  # signed: positive if it adds to the balance
    after_micro: int | None  # the balance after it; None if a filter by kind leaves out transfers in between


@dataclass(frozen=True)
class Movements:
    """A page of movements, newest first. `older` is the id below which the next page begins, or None."""

    rows: list[Movement]
    older: int | None


@dataclass(frozen=True)
class RelatedRow:
    """A row that a transfer is part of, with a label for it."""

    label: str
    row: Model


def balances(accounts: Sequence[LedgerAccount]) -> dict[int, int]:
    """Return the balance by account id, in micro-units.

    Untracked accounts store no balance: their transfers are summed, which takes a while for a large account.
    """
    stored = {account.pk: account.balance_micro for account in accounts if account.tracked}
    return stored | _moved_after([account.pk for account in accounts if not account.tracked], 0)


def movements(
    account: LedgerAccount,
    *,
    before: int | None = None,
    kind: str = "",
    since: date | None = None,
    until: date | None = None,
) -> Movements:
    """Return a page of up to PAGE transfers of an account, newest first.

    Filters: ids below `before`, one `kind`, posted on the days (UTC) from `since` to `until`, both included.
    """
    rows = LedgerTransfer.objects.filter(Q(debit=account) | Q(credit=account)).select_related("debit", "credit")
    rows = _of_days(rows, since, until)
    if before:
        rows = rows.filter(pk__lt=before)
    if kind:
        rows = rows.filter(kind=kind)
    found = list(rows.order_by("-pk")[: PAGE + 1])
    page = found[:PAGE]
    if not page:
        return Movements([], None)
    after = None if kind else balances([account])[account.pk] - _moved_after([account.pk], page[0].pk)[account.pk]
    return Movements(list(_walk(account, page, after)), page[-1].pk if len(found) > PAGE else None)


def find(text: str) -> QuerySet[LedgerTransfer]:
    """Return the transfers with this public id, or whose idempotency key begins with the text. Both have an index."""
    try:
        return LedgerTransfer.objects.filter(public_id=UUID(text))
    except ValueError:
        return LedgerTransfer.objects.filter(idempotency_key__startswith=text)


def related_rows(transfer: LedgerTransfer) -> list[RelatedRow]:
    """Return everything that the transfer is part of: rows that point to it, and the row that its key names."""
    found = [RelatedRow(label, row) for label, row in _pointing(transfer)]
    return found + [RelatedRow(label, row) for label, row in _named(transfer) if row is not None]


def _moved_after(accounts: list[int], after: int) -> dict[int, int]:
    """Return by account id how much the transfers with ids above `after` changed the balance."""
    if not accounts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(SUMS, {"accounts": accounts, "after": after})
        return {pk: int(micro) for pk, micro in cursor}


def _walk(account: LedgerAccount, page: Iterable[LedgerTransfer], after: int | None) -> Iterator[Movement]:
    for transfer in page:
        is_debit = transfer.debit_id == account.pk
        amount = account.side * (transfer.amount_micro if is_debit else -transfer.amount_micro)
        yield Movement(transfer, transfer.credit if is_debit else transfer.debit, amount, after)
        after = None if after is None else after - amount


def _of_days(rows: QuerySet[LedgerTransfer], since: date | None, until: date | None) -> QuerySet[LedgerTransfer]:
    if since:
        rows = rows.filter(posted_at__gte=datetime.combine(since, time(), UTC))
    if until:
        rows = rows.filter(posted_at__lt=datetime.combine(until + timedelta(days=1), time(), UTC))
    return rows


def _pointing(transfer: LedgerTransfer) -> Iterator[tuple[str, Model]]:
    """Yield the rows with a foreign key to this transfer."""
    for name, label in (
        ("top_up", "Top-up"),
        ("promo_credit", "Promotional credit"),
        ("refund", "Refund"),
        ("refund_returned", "Failed refund"),
        ("payout", "Payout"),
        ("payout_sent", "Payout"),
        ("payout_returned", "Returned payout"),
        ("reversed_by", "Reversed by"),
    ):
        row = getattr(transfer, name, None)
        if row is not None:
            yield label, row
    if transfer.reverses:
        yield "Reverses", transfer.reverses
    statement, invoice = getattr(transfer, "statement_entry", None), getattr(transfer, "invoice_entry", None)
    if statement:
        yield "Statement", statement.statement
    if invoice:
        yield "Invoice", invoice.invoice


def _named(transfer: LedgerTransfer) -> Iterator[tuple[str, Model | None]]:
    """Yield the row that the idempotency key names ("How money moves" in billing/README.md lists the keys)."""
    first, _, rest = transfer.idempotency_key.partition(":")
    name = rest.split(":")[0]
    if first in ("hold", "release") and name.isdigit():
        yield "Order", JobOrder.objects.filter(job_id=int(name)).first()
    if first == "settle" and name.isdigit():
        yield "Order", JobOrder.objects.filter(pk=name).first()
    by_public_id: dict[str, tuple[str, type[Model]]] = {
        "void": ("Void", UsageVoid),
        "dispute": ("Dispute", Dispute),
        "adjustment": ("Approval", Approval),
        "payout": ("Payout", Payout),
    }
    if first in by_public_id and transfer.kind != LedgerTransfer.Kind.PAYOUT and _is_uuid(name):
        label, model = by_public_id[first]
        row = model._default_manager.filter(public_id=name).first()
        yield label, None if row in [found for _, found in _pointing(transfer)] else row
    if first == "card_dispute":
        yield "Chargeback", CardDispute.objects.filter(stripe_id=name).first()
    if first == "stripe_fee":
        yield "Balance transaction", BalanceTransaction.objects.filter(stripe_id=name).first()


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
