"""An organization as a Stripe customer, and the command that creates that customer."""

from typing import Any

from accounts.models import Organization
from billing.models import StripeCommand, StripeCustomer
from billing.stripe import gateway, outbox
from billing.stripe.commands import CommandResult, StripeCommandKind
from core.errors import DomainError


def customer_of(organization: Organization) -> tuple[StripeCustomer, StripeCommand]:
    """Return the organization's Stripe customer and the command that creates it, queueing the command if there is none.

    Call it in a transaction. A command that was given up is queued again, since the customer is needed now.
    """
    customer, is_new = StripeCustomer.objects.get_or_create(organization=organization)
    key = f"customer:{organization.public_id}:v1"
    if is_new:
        return customer, outbox.queue(
            kind=StripeCommand.Kind.CREATE_CUSTOMER, idempotency_key=key, subject_id=customer.pk
        )
    # Locked, so that two requests do not both revive it.
    command = StripeCommand.objects.select_for_update().get(idempotency_key=key)
    if command.status == StripeCommand.Status.DEAD:
        outbox.retry(command=command, actor=None)
    return customer, command


class CustomerCommand(StripeCommandKind):
    """Create a Stripe customer for an organization."""

    kind = StripeCommand.Kind.CREATE_CUSTOMER

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return the organization's name and our id for it; no personal data."""
        organization = StripeCustomer.objects.select_related("organization").get(pk=command.subject_id).organization
        return {
            "name": organization.name,
            "metadata": {"organization": str(organization.public_id), "command": command.idempotency_key},
        }

    def send(self, command: StripeCommand) -> CommandResult:
        return CommandResult(gateway.create_customer(command.params or {}, idempotency_key=command.idempotency_key))

    def find(self, command: StripeCommand) -> CommandResult | None:
        found = gateway.find_customer(command=command.idempotency_key)
        return CommandResult(found) if found else None

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        StripeCustomer.objects.filter(pk=command.subject_id).update(stripe_id=sent.object_id)

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Do nothing: commands that waited for the customer die as well, and each writes its own effect."""
