"""Opening a page of Stripe's, to pay on or to save a card on: what the commands for both have in common."""

from billing.models import StripeCommand
from billing.stripe import gateway
from billing.stripe.commands import Sent, since_unix


def send(command: StripeCommand) -> Sent:
    made = gateway.create_checkout_session(command.params or {}, idempotency_key=command.idempotency_key)
    return Sent(made.id, made.url)


def find(command: StripeCommand) -> Sent | None:
    found = gateway.find_checkout_session(
        customer_id=(command.params or {})["customer"],
        command=command.idempotency_key,
        since_unix=since_unix(command),
    )
    return Sent(found.id, found.url) if found else None
