"""The command that charges a saved card for an automatic recharge, while nobody is there."""

from dataclasses import dataclass
from typing import Any

from accounts.models import Organization
from billing.models import AutoRecharge, CardTopUp, SavedCard, StripeCommand
from billing.stripe import gateway
from billing.stripe.amounts import to_minor
from billing.stripe.commands import Sent, since_unix
from billing.stripe.gateway import CardDeclined, Payment, StripeRefused
from billing.topups import recharge_outcomes, recharges
from core.errors import DomainError


@dataclass(frozen=True, kw_only=True)
class Charged(Sent):
    """What the bank said at once; it may be no."""

    payment: Payment


def params(command: StripeCommand) -> dict[str, Any]:
    """No redirects: there is nobody to be redirected."""
    row = CardTopUp.objects.select_related("customer", "saved_card").get(pk=command.subject_id)
    assert row.saved_card is not None  # the database insists
    return {
        "amount": to_minor(row.amount_micro, row.currency),
        "currency": row.currency.lower(),
        "customer": row.customer.stripe_id,
        "payment_method": row.saved_card.payment_method_id,
        "off_session": True,
        "confirm": True,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "description": "Driveway wallet, automatic recharge",
        "metadata": {"card_top_up": str(row.public_id), "command": command.idempotency_key},
    }


def send(command: StripeCommand) -> Sent:
    """Charge, if it is still wanted. A refusal of the bank is an answer like any other.

    Raises StripeRefused with our own code when it is not wanted any more: nothing is done then.
    """
    row = CardTopUp.objects.select_related("organization", "saved_card").get(pk=command.subject_id)
    if code := _unwanted(row):
        raise StripeRefused("This recharge is not wanted any more.", code=code)
    try:
        payment = gateway.charge_card(command.params or {}, idempotency_key=command.idempotency_key)
    except CardDeclined as error:  # without a payment to show for it
        raise StripeRefused(error.message, code=error.fields.get("decline_code") or error.code) from error
    return _checked(row, payment)


def find(command: StripeCommand) -> Sent | None:
    payment = gateway.find_payment(
        customer_id=(command.params or {})["customer"],
        command=command.idempotency_key,
        since_unix=since_unix(command),
    )
    row = CardTopUp.objects.select_related("command", "customer").get(pk=command.subject_id)
    return _checked(row, payment) if payment else None


def done(command: StripeCommand, sent: Sent) -> None:
    """What came of it, in the transaction that ends the command."""
    assert isinstance(sent, Charged)
    recharge_outcomes.settle(recharge_outcomes.locked(command.subject_id), sent.payment)


def dead(command: StripeCommand, error: DomainError) -> None:
    recharge_outcomes.give_up(command, error)


def _unwanted(row: CardTopUp) -> str:
    """Why the card shall not be charged now, although it should a moment ago; "" when it shall."""
    assert row.saved_card is not None
    recharge = AutoRecharge.objects.filter(organization_id=row.organization_id).first()
    if row.status != CardTopUp.Status.CREATED:
        return "recharge_over"  # given up before; the money of its month may be spent by another
    if row.organization.status != Organization.Status.ACTIVE:
        return "organization_suspended"
    if row.saved_card.status != SavedCard.Status.ACTIVE:
        return "card_removed"
    if recharge is None or not recharge.is_on:
        return "recharge_off"
    if recharge.paused_code:
        return "recharge_paused"
    # The month's charges include this one.
    over = recharges.month(recharge, at=row.created_at).charged_micro > recharge.monthly_cap_micro
    return "recharge_over_cap" if over else ""


def _checked(row: CardTopUp, payment: Payment) -> Charged:
    recharge_outcomes.check(row, payment)
    return Charged(object_id=payment.id, payment=payment)
