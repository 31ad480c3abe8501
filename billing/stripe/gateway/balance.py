"""Movements of our balance at Stripe (balance transactions), with the fee of each payment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from billing.stripe.gateway.client import read
from billing.stripe.gateway.rows import id_of

if TYPE_CHECKING:
    from stripe import BalanceTransaction


@dataclass(frozen=True, kw_only=True)
class BalanceMovement:
    """A balance transaction. Amounts are signed, in the currency's smallest coin."""

    id: str
    type: str
    source_id: str
    payment_intent_id: str
    transfer_id: str = ""  # the transfer that a transfer_refund reversed
    currency: str
    amount_minor: int
    fee_minor: int
    net_minor: int
    occurred_at: datetime
    available_at: datetime


def list_balance(*, since_unix: int, until_unix: int) -> list[BalanceMovement]:
    """Return every movement in [since, until), Unix times in seconds, newest first. Raises as `read`."""
    wanted: Any = {"created": {"gte": since_unix, "lt": until_unix}, "limit": 100, "expand": ["data.source"]}

    def look(stripe: Any) -> Iterator[BalanceMovement]:
        for row in stripe.v1.balance_transactions.list(wanted).auto_paging_iter():
            yield movement(row, payment_intent_id=_intent_of(row.source))

    return read(lambda stripe: list(look(stripe)))


def movement(row: BalanceTransaction, *, payment_intent_id: str) -> BalanceMovement:
    """Convert Stripe's balance transaction to our record."""
    source = row.source
    return BalanceMovement(
        id=row.id,
        type=row.type,
        source_id=id_of(source),
        payment_intent_id=payment_intent_id,
        transfer_id=id_of(getattr(source, "transfer", None)) if row.type == "transfer_refund" else "",
        currency=row.currency.upper(),
        amount_minor=row.amount,
        fee_minor=row.fee,
        net_minor=row.net,
        occurred_at=datetime.fromtimestamp(row.created, tz=UTC),
        available_at=datetime.fromtimestamp(row.available_on, tz=UTC),
    )


def _intent_of(source: Any) -> str:
    """Return the id of the payment that a charge or a refund belongs to, or ""."""
    intent = getattr(source, "payment_intent", None) if not isinstance(source, str) else None
    return id_of(intent)
