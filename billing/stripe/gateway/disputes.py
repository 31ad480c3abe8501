"""Disputes (chargebacks): a cardholder's bank takes a payment back, or asks about it.

Stripe forwards our evidence to the bank.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from billing.stripe.gateway.balance import BalanceMovement, movement
from billing.stripe.gateway.client import read, write
from billing.stripe.gateway.rows import id_of, metadata_of

if TYPE_CHECKING:
    from stripe import Dispute


@dataclass(frozen=True, kw_only=True)
class BankDispute:
    """The present state of a dispute. `movements` are what it has taken from our balance and brought back so far."""

    id: str
    status: str
    reason: str
    charge_id: str
    payment_intent_id: str
    amount_minor: int
    currency: str
    due_at: datetime | None
    submissions: int
    command: str
    movements: tuple[BalanceMovement, ...]


def retrieve_dispute(dispute_id: str) -> BankDispute:
    """Return the dispute with its movements of our balance. Raises as `read`."""
    return _dispute(read(lambda stripe: stripe.v1.disputes.retrieve(dispute_id)))


def submit_evidence(dispute_id: str, params: dict[str, Any], *, idempotency_key: str) -> BankDispute:
    """Submit evidence to the bank, which cannot be changed afterwards, and return the dispute. Raises as `write`."""
    options: Any = {"idempotency_key": idempotency_key}
    row = write(lambda stripe: stripe.v1.disputes.update(dispute_id, params, options))  # type: ignore[arg-type]
    return _dispute(row)


def _dispute(row: Dispute) -> BankDispute:
    metadata = metadata_of(row)
    intent, details = id_of(row.payment_intent), row.evidence_details
    return BankDispute(
        id=row.id,
        status=row.status,
        reason=row.reason,
        charge_id=id_of(row.charge),
        payment_intent_id=intent,
        amount_minor=row.amount,
        currency=row.currency.upper(),
        due_at=datetime.fromtimestamp(details.due_by, tz=UTC) if details.due_by else None,
        submissions=details.submission_count,
        command=metadata.get("command", ""),
        movements=tuple(movement(part, payment_intent_id=intent) for part in row.balance_transactions),
    )
