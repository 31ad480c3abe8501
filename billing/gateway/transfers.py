"""Transfers from our balance to an owner's account, their reversals, and what our balance can pay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from billing.gateway.client import read, write

if TYPE_CHECKING:
    from stripe import Transfer as StripeTransfer


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A transfer as Stripe has it now. Amounts in the currency's smallest coin."""

    id: str
    payout: str
    destination_id: str
    group: str
    currency: str
    amount_minor: int
    reversed_minor: int
    created_at: datetime


def available_minor() -> dict[str, int]:
    """What our balance could pay at this moment, by currency. Raises as `read`."""
    balance = read(lambda stripe: stripe.v1.balance.retrieve())
    return {row.currency.upper(): row.amount for row in balance.available}


def create_transfer(params: dict[str, Any], *, idempotency_key: str) -> Transfer:
    """Move money to an owner's account. Raises as `write`; StripeRefused says why in `fields["stripe_code"]`."""
    options: Any = {"idempotency_key": idempotency_key}
    return _transfer(write(lambda stripe: stripe.v1.transfers.create(params, options)))  # type: ignore[arg-type]


def retrieve_transfer(transfer_id: str) -> Transfer:
    """The transfer now. Raises as `read`."""
    return _transfer(read(lambda stripe: stripe.v1.transfers.retrieve(transfer_id)))


def find_transfer(*, group: str, payout: str) -> Transfer | None:
    """The transfer of a payout, whichever attempt made it: lists show a transfer at once. Raises as `read`."""
    wanted: Any = {"transfer_group": group, "limit": 100}

    def look(stripe: Any) -> Transfer | None:
        rows = map(_transfer, stripe.v1.transfers.list(wanted).auto_paging_iter())
        return next((row for row in rows if row.payout == payout), None)

    return read(look)


def reverse_transfer(transfer_id: str, params: dict[str, Any], *, idempotency_key: str) -> str:
    """Fetch a transfer back, as far as the owner's account there has it. The reversal's id. Raises as `write`."""
    options: Any = {"idempotency_key": idempotency_key}
    return write(lambda stripe: stripe.v1.transfers.reversals.create(transfer_id, params, options)).id  # type: ignore[arg-type]


def find_reversal(transfer_id: str, *, command: str) -> str | None:
    """The id of the reversal that a command made, if it did. Raises as `read`."""

    def look(stripe: Any) -> str | None:
        rows = stripe.v1.transfers.reversals.list(transfer_id, {"limit": 100}).auto_paging_iter()
        return next((row.id for row in rows if _words(row.metadata).get("command") == command), None)

    return read(look)


def _transfer(row: StripeTransfer) -> Transfer:
    destination = row.destination
    return Transfer(
        id=row.id,
        payout=_words(row.metadata).get("payout", ""),
        destination_id=destination if isinstance(destination, str) else str(getattr(destination, "id", "")),
        group=row.transfer_group or "",
        currency=row.currency.upper(),
        amount_minor=row.amount,
        reversed_minor=row.amount_reversed,
        created_at=datetime.fromtimestamp(row.created, tz=UTC),
    )


def _words(metadata: Any) -> dict[str, str]:
    return dict(metadata.to_dict()) if metadata is not None else {}
