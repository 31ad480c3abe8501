"""Posting to the ledger: one SQL statement for any number of transfers. A database trigger moves the balances."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from billing.ledger.accounts import AccountName, account, accounts, hold, payable, platform, wallet
from billing.ledger.checks import Difference, recompute
from billing.models import LedgerAccount, LedgerTransfer
from core.db import execute_batch
from core.errors import Conflict, from_database

__all__ = [
    "AccountName",
    "Difference",
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
    """A transfer to be posted: `amount_micro` (more than zero) is debited to one account and credited to another."""

    kind: str
    debit: LedgerAccount
    credit: LedgerAccount
    amount_micro: int
    idempotency_key: str
    effective_at: datetime | None = None  # None: now
    meta: dict[str, Any] = field(default_factory=dict)
    reverses: LedgerTransfer | None = None


@dataclass(frozen=True)
class PostResult:
    """The result of a call: the keys of its transfers, of which `new` were made by it and the rest before."""

    keys: tuple[str, ...]
    new: int

    @cached_property
    def transfers(self) -> tuple[LedgerTransfer, ...]:
        """The transfers, in the order of the postings. Read only on access, since most callers never look at them."""
        found = LedgerTransfer.objects.in_bulk(self.keys, field_name="idempotency_key")
        return tuple(found[key] for key in self.keys)


INSERT = """
WITH posted AS (
    INSERT INTO billing_ledgertransfer
        (kind, debit_id, credit_id, amount_micro, currency, idempotency_key, effective_at, meta, reverses_id)
    SELECT kind, debit_id, credit_id, amount_micro, currency, key, effective_at, meta::jsonb, reverses_id
      FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::text[],
                  %b::timestamptz[], %b::text[], %b::bigint[])
           p (kind, debit_id, credit_id, amount_micro, currency, key, effective_at, meta, reverses_id)
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id
)
SELECT count(*) FROM posted
"""


def post(transfers: Sequence[Posting]) -> PostResult:
    """Post all transfers or none. If a key was used before for the same transfer, that transfer is returned instead.

    Call it once in a transaction and as the last step: it locks the accounts until the end of the transaction, in the
    order of their ids. Raises Conflict (`idempotency_conflict`) if a key was used for another transfer, and
    PaymentRequired (`insufficient_funds`) if an account with a floor, such as a wallet or a hold, would go below zero.
    """
    if not transfers:
        return PostResult((), 0)
    with transaction.atomic():
        try:
            ((new,),) = execute_batch(INSERT, _columns(transfers))
        except DatabaseError as error:
            refusal = from_database(error)
            if refusal is None:
                raise
            raise refusal from error
        result = PostResult(tuple(posting.idempotency_key for posting in transfers), new)
        if new < len(transfers):
            for posting, row in zip(transfers, result.transfers, strict=True):
                _refuse_other_payload(posting, row)
    return result


def _columns(transfers: Sequence[Posting]) -> list[list[Any]]:
    now = timezone.now()
    rows = [
        (
            posting.kind,
            posting.debit.id,
            posting.credit.id,
            posting.amount_micro,
            posting.debit.currency,
            posting.idempotency_key,
            posting.effective_at or now,
            json.dumps(posting.meta),
            posting.reverses.id if posting.reverses else None,
        )
        for posting in transfers
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _refuse_other_payload(posting: Posting, row: LedgerTransfer) -> None:
    """Raise Conflict if the stored transfer is another one than the posting.

    The trigger compares only with rows that it sees. Another transaction may have committed the same key while our
    insert waited for it, so the comparison is repeated here.
    """
    reverses_id = posting.reverses.id if posting.reverses else None
    wanted = (posting.kind, posting.debit.id, posting.credit.id, posting.amount_micro, reverses_id)
    if wanted != (row.kind, row.debit_id, row.credit_id, row.amount_micro, row.reverses_id):
        raise Conflict(f"The key {posting.idempotency_key} was used for another transfer.", code="idempotency_conflict")
