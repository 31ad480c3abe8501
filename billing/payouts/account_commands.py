"""The command that makes an owner's account at Stripe: where the owner is paid."""

from typing import Any

from django.utils import timezone

from billing.models import ConnectedAccount, StripeCommand
from billing.payouts import account_states
from billing.stripe import gateway
from billing.stripe.commands import Sent
from billing.stripe.gateway import StripeRefused
from core.errors import DomainError
from core.states import transition


def params(command: StripeCommand) -> dict[str, Any]:
    """Somebody who receives transfers and is not a merchant; fees and losses are ours. No person is named here.

    Name and e-mail are added when it is sent, so that they are kept nowhere but with the person.
    """
    row = ConnectedAccount.objects.select_related("owner").get(pk=command.subject_id)
    return {
        "dashboard": "express",
        "identity": {"country": row.country.lower(), "entity_type": "individual"},
        "configuration": {
            "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}},
        },
        "defaults": {
            "currency": row.currency.lower(),
            "responsibilities": {"fees_collector": "application", "losses_collector": "application"},
        },
        "metadata": {"owner": str(row.owner.public_id), "command": command.idempotency_key},
    }


def send(command: StripeCommand) -> Sent:
    """With e-mail and display name of the owner, who is asked for everything else by Stripe itself."""
    owner = ConnectedAccount.objects.select_related("owner__user").get(pk=command.subject_id).owner
    if owner.erased_at:
        raise StripeRefused("The owner has been erased.", code="owner_closed")
    person = {"contact_email": owner.user.email, "display_name": owner.name}
    try:
        made = gateway.create_account((command.params or {}) | person, idempotency_key=command.idempotency_key)
    except StripeRefused as error:  # its words may repeat ours, and are kept with the command
        raise type(error)("Stripe refused the account.", code=error.code, **error.fields) from error
    return Sent(made.id)


def find(command: StripeCommand) -> Sent | None:
    found = gateway.find_account(command=command.idempotency_key)
    return Sent(found.id) if found else None


def done(command: StripeCommand, sent: Sent) -> None:
    """There is an account, and the owner has to fill it in."""
    row = ConnectedAccount.objects.select_for_update().get(pk=command.subject_id)
    if row.stripe_id is None:
        row.stripe_id = sent.object_id
        row.save(update_fields=["stripe_id"])
    if row.status in (row.Status.CREATED, row.Status.FAILED):
        transition(row, row.Status.ONBOARDING)


def dead(command: StripeCommand, error: DomainError) -> None:
    row = ConnectedAccount.objects.select_for_update().get(pk=command.subject_id)
    if row.status == row.Status.CREATED:
        transition(row, row.Status.FAILED, code=error.code, checked_at=timezone.now())


def may_retry(command: StripeCommand) -> None:
    """Not for an account that was given up for another one."""
    account_states.refuse_closed(ConnectedAccount.objects.select_for_update().get(pk=command.subject_id))
