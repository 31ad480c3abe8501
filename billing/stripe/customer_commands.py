"""The command that makes an organization a customer at Stripe."""

from typing import Any

from billing.models import StripeCommand, StripeCustomer
from billing.stripe import gateway
from billing.stripe.commands import Sent
from core.errors import DomainError


def params(command: StripeCommand) -> dict[str, Any]:
    """The organization's name and our id of it; no person."""
    organization = StripeCustomer.objects.select_related("organization").get(pk=command.subject_id).organization
    return {
        "name": organization.name,
        "metadata": {"organization": str(organization.public_id), "command": command.idempotency_key},
    }


def send(command: StripeCommand) -> Sent:
    return Sent(gateway.create_customer(command.params or {}, idempotency_key=command.idempotency_key))


def find(command: StripeCommand) -> Sent | None:
    found = gateway.find_customer(command=command.idempotency_key)
    return Sent(found) if found else None


def done(command: StripeCommand, sent: Sent) -> None:
    StripeCustomer.objects.filter(pk=command.subject_id).update(stripe_id=sent.object_id)


def dead(command: StripeCommand, error: DomainError) -> None:
    """What waited for the customer is told by its own command."""
