"""Pages of Stripe's, to pay on or to save a card on: what the commands that open them have in common."""

from billing.models import StripeCommand
from billing.stripe import gateway
from billing.stripe.commands import Sent, StripeCommandKind, since_unix


class SessionCommand(StripeCommandKind):
    """Open a Checkout session. Subclasses say what it is for and where its address is kept."""

    def send(self, command: StripeCommand) -> Sent:
        made = gateway.create_checkout_session(command.params or {}, idempotency_key=command.idempotency_key)
        return Sent(made.id, made.url)

    def find(self, command: StripeCommand) -> Sent | None:
        found = gateway.find_checkout_session(
            customer_id=(command.params or {})["customer"],
            command=command.idempotency_key,
            since_unix=since_unix(command),
        )
        return Sent(found.id, found.url) if found else None
