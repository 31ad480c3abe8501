"""Transfers from our balance to an owner's account, their reversals, and our available balance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from billing.stripe.gateway.client import read, write
from billing.stripe.gateway.rows import first, id_of, metadata_of

if TYPE_CHECKING:
    from stripe import Transfer as StripeTransfer


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The present state of a transfer. Amounts are in the currency's smallest coin."""

    id: str
    payout: str
    destination_id: str
    group: str
    currency: str
    amount_minor: int
    reversed_minor: int
    created_at: datetime


def available_minor() -> dict[str, int]:
    """Return the available part of our balance, in smallest coins by currency. Raises as `read`."""
    balance = read(lambda stripe: stripe.v1.balance.retrieve())
    return {row.currency.upper(): row.amount for row in balance.available}


def create_transfer(params: dict[str, Any], *, idempotency_key: str) -> Transfer:
    """Transfer money to an owner's account.

    Raises as `write`; StripeRefused has the reason in `fields["stripe_code"]`.
    """
    options: Any = {"idempotency_key": idempotency_key}
    return _transfer(write(lambda stripe: stripe.v1.transfers.create(params, options)))  # type: ignore[arg-type]


def retrieve_transfer(transfer_id: str) -> Transfer:
    """Return the transfer's present state. Raises as `read`."""
    return _transfer(read(lambda stripe: stripe.v1.transfers.retrieve(transfer_id)))


def find_transfer(*, group: str, payout: str) -> Transfer | None:
    """Return the transfer of a payout, made by whichever attempt, or None.

    Lists show a transfer at once. Raises as `read`.
    """
    wanted: Any = {"transfer_group": group, "limit": 100}

    return first(
        lambda stripe: stripe.v1.transfers.list(wanted).auto_paging_iter(), _transfer, lambda row: row.payout == payout
    )


def reverse_transfer(transfer_id: str, params: dict[str, Any], *, idempotency_key: str) -> str:
    """Reverse a transfer, as far as the owner's account still has the money.

    Return the reversal's id. Raises as `write`.
    """
    options: Any = {"idempotency_key": idempotency_key}
    return write(
        lambda stripe: stripe.v1.transfers.reversals.create(transfer_id, params, options)  # type: ignore[arg-type]
    ).id


def find_reversal(transfer_id: str, *, command: str) -> str | None:
    """Return the id of the reversal that a command made, or None. Raises as `read`."""
    found = first(
        lambda stripe: stripe.v1.transfers.reversals.list(transfer_id, {"limit": 100}).auto_paging_iter(),
        lambda row: (str(row.id), metadata_of(row)),
        lambda row: row[1].get("command") == command,
    )
    return found[0] if found else None


def _transfer(row: StripeTransfer) -> Transfer:
    return Transfer(
        id=row.id,
        payout=metadata_of(row).get("payout", ""),
        destination_id=id_of(row.destination),
        group=row.transfer_group or "",
        currency=row.currency.upper(),
        amount_minor=row.amount,
        reversed_minor=row.amount_reversed,
        created_at=datetime.fromtimestamp(row.created, tz=UTC),
    )
