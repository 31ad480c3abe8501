"""Receipts as PDFs: for a top-up by card, and for a refund to the card."""

from datetime import datetime
from uuid import UUID

from billing.documents.amounts import exact_amount
from billing.documents.parties import customer, seller
from billing.documents.pdf import Document
from billing.models import CardTopUp, Refund
from core import locale

TOP_UP = (
    "Prepaid credit for compute on Driveway. This is a receipt for a payment, not an invoice: what is bought with it is"
    " on the invoices of the months in which the work was verified."
)
REFUND = "Unspent prepaid credit, paid back to the card that it came from. A bank can take some days to show it."


def number_of(public_id: UUID) -> str:
    """Return the number printed on a receipt: "R-" and the first twelve hexadecimal digits of the public id."""
    return f"R-{public_id.hex[:12].upper()}"


def render_top_up(row: CardTopUp) -> bytes:
    """Return the receipt of a paid top-up."""
    assert row.top_up is not None
    facts = [
        ("Paid by", "Saved card, by automatic recharge" if row.origin == row.Origin.AUTO else "Card, through Stripe"),
        ("Payment", row.payment_intent_id or ""),
        ("Top-up", str(row.public_id)),
    ]
    return _render(
        "Receipt",
        row,
        made_at=row.top_up.created_at,
        date_label="Received on",
        facts=facts,
        total=("Received", row.amount_micro),
        text=TOP_UP,
    )


def render_refund(row: Refund) -> bytes:
    """Return the receipt of a refund that Stripe has made."""
    facts = [("Refund at Stripe", row.stripe_id or ""), ("Refund", str(row.public_id)), ("Reason", row.reason)]
    made_at = row.ended_at or row.created_at
    return _render(
        "Refund receipt",
        row,
        made_at=made_at,
        date_label="Refunded on",
        facts=facts,
        total=("Refunded", row.amount_micro),
        text=REFUND,
    )


def _render(
    title: str,
    row: CardTopUp | Refund,
    *,
    made_at: datetime,
    date_label: str,
    facts: list[tuple[str, str]],
    total: tuple[str, int],
    text: str,
) -> bytes:
    with locale.override(locale.DEFAULT, "UTC"):
        document = Document(title=title, number=number_of(row.public_id), made_at=made_at, note="Nothing is due.")
        document.addresses(("From", seller()), ("To", customer(row.organization)))
        document.facts([(date_label, locale.moment(made_at)), *(fact for fact in facts if fact[1])])
        document.totals([(total[0], exact_amount(total[1], row.currency))])
        document.paragraph(text)
        return document.render()
