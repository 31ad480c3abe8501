"""The command that opens a page of Stripe's for one top-up by card."""

from typing import Any

from django.urls import reverse
from django.utils import timezone

from billing.models import CardTopUp, StripeCommand
from billing.stripe.amounts import to_minor
from billing.stripe.commands import Sent
from billing.stripe.sessions import find, send
from core.errors import DomainError
from core.states import transition

__all__ = ["dead", "done", "find", "params", "send"]


def params(command: StripeCommand) -> dict[str, Any]:
    """One payment of one amount. The payment methods are those switched on at Stripe; the card is kept on asking only."""
    row = CardTopUp.objects.select_related("customer").get(pk=command.subject_id)
    metadata = {"card_top_up": str(row.public_id), "command": command.idempotency_key}
    return {
        "mode": "payment",
        "ui_mode": "hosted_page",
        "customer": row.customer.stripe_id,
        "client_reference_id": str(row.public_id),
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": row.currency.lower(),
                    "unit_amount": to_minor(row.amount_micro, row.currency),
                    "product_data": {"name": "Driveway wallet"},
                },
            }
        ],
        "adaptive_pricing": {"enabled": False},  # the wallet is credited with exactly what was asked for
        "payment_intent_data": {
            "metadata": metadata,
            **({"setup_future_usage": "off_session"} if row.saves_card else {}),
        },
        "metadata": metadata,
        "success_url": _url(row, "top_up_done"),
        "cancel_url": _url(row, "top_up_left"),
    }


def done(command: StripeCommand, sent: Sent) -> None:
    """Keep the page's address. The customer may have paid there already, if we learn of our own success late."""
    row = CardTopUp.objects.select_for_update().get(pk=command.subject_id)
    if row.session_id is None:
        row.session_id, row.checkout_url = sent.object_id, sent.url
        row.save(update_fields=["session_id", "checkout_url"])
    if row.status in (row.Status.CREATED, row.Status.FAILED):
        transition(row, row.Status.OPEN, ended_at=None)


def dead(command: StripeCommand, error: DomainError) -> None:
    """There is no page to pay on."""
    row = CardTopUp.objects.select_for_update().get(pk=command.subject_id)
    if row.status == row.Status.CREATED:
        transition(row, row.Status.FAILED, code=error.code, ended_at=timezone.now())


def _url(row: CardTopUp, page: str) -> str:
    return row.site_url + reverse(page, args=[row.public_id])
