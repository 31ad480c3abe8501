"""Cards that Stripe keeps for a customer. We read what a person needs to recognise a card, never its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from billing.stripe.gateway.client import read, write
from billing.stripe.gateway.errors import StripeMissing, StripeRefused
from billing.stripe.gateway.rows import id_of

if TYPE_CHECKING:
    from stripe import PaymentMethod


@dataclass(frozen=True, kw_only=True)
class Card:
    """A payment method that Stripe keeps. `fingerprint` is the same for the same card, however often it is saved."""

    id: str
    customer_id: str  # empty once the card is detached
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None
    fingerprint: str


def retrieve_card(card_id: str) -> Card:
    """Return the card's present state: banks report new expiry dates to Stripe. Raises as `read`."""
    return card_of(read(lambda stripe: stripe.v1.payment_methods.retrieve(card_id)))


def list_cards(customer_id: str) -> list[Card]:
    """Return all cards that Stripe keeps for the customer. Raises as `read`."""
    wanted: Any = {"customer": customer_id, "limit": 100}
    return read(lambda stripe: [card_of(row) for row in stripe.v1.payment_methods.list(wanted).auto_paging_iter()])


def detach_card(card_id: str, *, idempotency_key: str) -> None:
    """Detach the card from its customer at Stripe.

    A card that is missing or detached already is a success. Raises as `write`.
    """
    options: Any = {"idempotency_key": idempotency_key}
    try:
        write(lambda stripe: stripe.v1.payment_methods.detach(card_id, options=options))
    except StripeMissing:
        return
    except StripeRefused:
        if retrieve_card(card_id).customer_id:
            raise


def card_of(row: PaymentMethod) -> Card:
    """Convert Stripe's payment method to our record. A bank account becomes a card without expiry."""
    details: Any = getattr(row, row.type, None)
    return Card(
        id=row.id,
        customer_id=id_of(row.customer),
        brand=str(getattr(details, "brand", None) or row.type)[:32],
        last4=str(getattr(details, "last4", None) or "")[:4],
        exp_month=getattr(details, "exp_month", None),
        exp_year=getattr(details, "exp_year", None),
        fingerprint=str(getattr(details, "fingerprint", None) or ""),
    )
