"""Refunds: money sent back to the source of a payment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from billing.stripe.gateway.balance import BalanceMovement, movement
from billing.stripe.gateway.client import read, write
from billing.stripe.gateway.rows import first, id_of, metadata_of

if TYPE_CHECKING:
    from stripe import Refund

EXPAND = ["balance_transaction", "failure_balance_transaction"]


@dataclass(frozen=True, kw_only=True)
class CardRefund:
    """The present state of a refund.

    Amounts are in the currency's smallest coin; `movements` are what Stripe has booked.
    """

    id: str
    status: str  # pending, requires_action, succeeded, failed, canceled
    failure_reason: str
    payment_intent_id: str
    amount_minor: int
    currency: str
    reference: str
    command: str
    movements: tuple[BalanceMovement, ...]


def create_refund(params: dict[str, Any], *, idempotency_key: str) -> CardRefund:
    """Create a refund and return it. Raises as `write`."""
    options: Any = {"idempotency_key": idempotency_key}
    return _refund(write(lambda stripe: stripe.v1.refunds.create(params, options)))  # type: ignore[arg-type]


def retrieve_refund(refund_id: str) -> CardRefund:
    """Return the refund with its movements of our balance. Raises as `read`."""
    return _refund(read(lambda stripe: stripe.v1.refunds.retrieve(refund_id, {"expand": EXPAND})))


def find_refund(*, payment_intent_id: str, command: str) -> CardRefund | None:
    """Return the refund of this payment that a command made, or None. Raises as `read`."""
    wanted: Any = {"payment_intent": payment_intent_id, "limit": 100}

    return first(
        lambda stripe: stripe.v1.refunds.list(wanted).auto_paging_iter(),
        _refund,
        lambda refund: refund.command == command,
    )


def _refund(row: Refund) -> CardRefund:
    metadata, intent_id = metadata_of(row), id_of(row.payment_intent)
    booked = (row.balance_transaction, getattr(row, "failure_balance_transaction", None))
    return CardRefund(
        id=row.id,
        status=row.status or "",
        failure_reason=getattr(row, "failure_reason", None) or "",
        payment_intent_id=intent_id,
        amount_minor=row.amount,
        currency=row.currency.upper(),
        reference=metadata.get("refund", ""),
        command=metadata.get("command", ""),
        movements=tuple(
            movement(part, payment_intent_id=intent_id)
            for part in booked
            if part is not None and not isinstance(part, str)
        ),
    )
