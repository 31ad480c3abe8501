"""Payouts from an owner's account at Stripe to the owner's bank. Stripe makes them; we only read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from billing.stripe.gateway.client import read

if TYPE_CHECKING:
    from stripe import Payout


@dataclass(frozen=True, kw_only=True)
class BankPayout:
    """The present state of a payout to a bank."""

    id: str
    account_id: str
    status: str  # pending, in_transit, paid, failed, canceled
    failure_code: str
    currency: str
    created_at: datetime


def retrieve_bank_payout(payout_id: str, *, account_id: str) -> BankPayout:
    """Return one payout of the account. Raises as `read`."""
    options: Any = {"stripe_account": account_id}
    return _payout(read(lambda stripe: stripe.v1.payouts.retrieve(payout_id, {}, options)), account_id)


def list_bank_payouts(*, account_id: str, since_unix: int) -> list[BankPayout]:
    """Return every payout of the account since a Unix time (s), oldest first. Raises as `read`."""
    wanted: Any = {"created": {"gte": since_unix}, "limit": 100}
    options: Any = {"stripe_account": account_id}

    def look(stripe: Any) -> Iterator[BankPayout]:
        for row in stripe.v1.payouts.list(wanted, options).auto_paging_iter():
            yield _payout(row, account_id)

    return read(lambda stripe: list(look(stripe)))[::-1]


def _payout(row: Payout, account_id: str) -> BankPayout:
    return BankPayout(
        id=row.id,
        account_id=account_id,
        status=row.status,
        failure_code=row.failure_code or "",
        currency=row.currency.upper(),
        created_at=datetime.fromtimestamp(row.created, tz=UTC),
    )
