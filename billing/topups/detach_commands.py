"""The command that has Stripe let a card go."""

from typing import Any

from billing.models import SavedCard, StripeCommand
from billing.stripe import gateway
from billing.stripe.commands import Sent
from core.errors import DomainError


def params(command: StripeCommand) -> dict[str, Any]:
    return {"payment_method": SavedCard.objects.get(pk=command.subject_id).payment_method_id}


def send(command: StripeCommand) -> Sent:
    """A card that was let go before, by whomever, is as good."""
    card_id = (command.params or {})["payment_method"]
    gateway.detach_card(card_id, idempotency_key=command.idempotency_key)
    return Sent(card_id)


def find(command: StripeCommand) -> Sent | None:
    card = gateway.retrieve_card((command.params or {})["payment_method"])
    return None if card.customer_id else Sent(card.id)


def done(command: StripeCommand, sent: Sent) -> None:
    """The row said that it is removed before Stripe was asked."""


def dead(command: StripeCommand, error: DomainError) -> None:
    """Operators see the command. We charge the card no more, whatever Stripe keeps."""
