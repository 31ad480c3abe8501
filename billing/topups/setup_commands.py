"""The command that opens a page of Stripe's which saves a card and takes no money."""

from typing import Any

from django.urls import reverse
from django.utils import timezone

from billing.models import SavedCard, StripeCommand
from billing.stripe.commands import Sent
from billing.stripe.sessions import find, send
from core.errors import DomainError
from core.states import transition

__all__ = ["dead", "done", "find", "params", "send"]


def params(command: StripeCommand) -> dict[str, Any]:
    """One card, for payments while nobody is there. Without a list of payment methods Stripe wants the currency."""
    row = SavedCard.objects.select_related("customer", "organization").get(pk=command.subject_id)
    metadata = {"saved_card": str(row.public_id), "command": command.idempotency_key}
    return {
        "mode": "setup",
        "ui_mode": "hosted_page",
        "currency": row.organization.currency.lower(),
        "customer": row.customer.stripe_id,
        "client_reference_id": str(row.public_id),
        "setup_intent_data": {"metadata": metadata},
        "metadata": metadata,
        "success_url": row.site_url + reverse("saved_card_done", args=[row.public_id]),
        "cancel_url": row.site_url + reverse("auto_recharge"),
    }


def done(command: StripeCommand, sent: Sent) -> None:
    """Keep the page's address."""
    SavedCard.objects.filter(pk=command.subject_id, session_id=None).update(
        session_id=sent.object_id, checkout_url=sent.url
    )


def dead(command: StripeCommand, error: DomainError) -> None:
    """There is no page to save it on."""
    row = SavedCard.objects.select_for_update().get(pk=command.subject_id)
    if row.status == row.Status.PENDING:
        transition(row, row.Status.FAILED, code=error.code, ended_at=timezone.now())
