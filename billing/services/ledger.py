"""Posting to the ledger: one statement for any number of transfers. The database moves the balances."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from billing.models import LedgerAccount, LedgerTransfer
from billing.services.ledger_accounts import Place, account, accounts, hold, payable, platform, wallet
from billing.services.ledger_checks import Difference, recompute
from marketplace.core.errors import Conflict, from_database

__all__ = [
    "Difference",
    "Place",
    "PostResult",
    "Posting",
    "account",
    "accounts",
    "hold",
    "payable",
    "platform",
    "post",
    "recompute",
    "wallet",
]


@dataclass(frozen=True, kw_only=True)
class Posting:
    """A transfer to be: `amount_micro` > 0, debited to one account, credited to another."""

    kind: str
    debit: LedgerAccount
    credit: LedgerAccount
    amount_micro: int
    idempotency_key: str
    effective_at: datetime | None = None  # now
    meta: dict[str, Any] = field(default_factory=dict)
    reverses: LedgerTransfer | None = None


@dataclass(frozen=True)
class PostResult:
    """The transfers in the order of the postings; `new` of them were made by this call, the rest before."""

    transfers: tuple[LedgerTransfer, ...]
    new: int


INSERT = """
INSERT INTO billing_ledgertransfer
    (kind, debit_id, credit_id, amount_micro, currency, idempotency_key, effective_at, meta, reverses_id)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],
                     %s::timestamptz[], %s::jsonb[], %s::bigint[])
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING *
"""


def post(transfers: Sequence[Posting]) -> PostResult:
    """Post all or nothing. A posting whose key was used before, for the same transfer, only returns that one.

    Call it once in a transaction, and last: it locks the accounts until the end. Raises Conflict
    (`idempotency_conflict`) when a key was used for another transfer, and PaymentRequired
    (`insufficient_funds`) when a wallet or a hold would go below zero.
    """
    if not transfers:
        return PostResult((), 0)
    with transaction.atomic():
        try:
            rows = list(LedgerTransfer.objects.raw(INSERT, _columns(transfers)))
        except DatabaseError as error:
            refusal = from_database(error)
            if refusal is None:
                raise
            raise refusal from error
        found = {row.idempotency_key: row for row in rows}
        replayed = [posting.idempotency_key for posting in transfers if posting.idempotency_key not in found]
        found |= LedgerTransfer.objects.in_bulk(replayed, field_name="idempotency_key")
        for posting in transfers:
            _refuse_other_payload(posting, found[posting.idempotency_key])
    return PostResult(tuple(found[posting.idempotency_key] for posting in transfers), len(rows))


def _columns(transfers: Sequence[Posting]) -> list[list[Any]]:
    now = timezone.now()
    rows = [
        (
            posting.kind,
            posting.debit.pk,
            posting.credit.pk,
            posting.amount_micro,
            posting.debit.currency,
            posting.idempotency_key,
            posting.effective_at or now,
            Jsonb(posting.meta),
            posting.reverses.pk if posting.reverses else None,
        )
        for posting in transfers
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _refuse_other_payload(posting: Posting, row: LedgerTransfer) -> None:
    """The trigger never saw a row that another transaction wrote while ours waited: compare here too."""
    reverses_id = posting.reverses.pk if posting.reverses else None
    wanted = (posting.kind, posting.debit.pk, posting.credit.pk, posting.amount_micro, reverses_id)
    if wanted != (row.kind, row.debit_id, row.credit_id, row.amount_micro, row.reverses_id):
        raise Conflict(f"The key {posting.idempotency_key} was used for another transfer.", code="idempotency_conflict")
