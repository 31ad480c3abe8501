"""The common part of the commands that open a Checkout session: a page of Stripe's to pay on or to save a card on."""

from billing.models import StripeCommand
from billing.stripe import gateway
from billing.stripe.commands import CommandResult, StripeCommandKind, since_unix


class SessionCommand(StripeCommandKind):
    """Open a Checkout session. Subclasses give its parameters and store its address."""

    def send(self, command: StripeCommand) -> CommandResult:
        session = gateway.create_checkout_session(command.params or {}, idempotency_key=command.idempotency_key)
        return CommandResult(session.id, session.url)

    def find(self, command: StripeCommand) -> CommandResult | None:
        session = gateway.find_checkout_session(
            customer_id=(command.params or {})["customer"],
            command=command.idempotency_key,
            since_unix=since_unix(command),
        )
        return CommandResult(session.id, session.url) if session else None
