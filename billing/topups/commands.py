"""Commands to Stripe about cards: pages to pay or to save a card on, a charge of a saved card, and letting a card go."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from billing.models import AutoRecharge, CardTopUp, SavedCard, StripeCommand
from billing.stripe import gateway
from billing.stripe.amounts import to_minor
from billing.stripe.commands import Sent, StripeCommandKind, since_unix
from billing.stripe.gateway import CardDeclined, Payment, StripeRefused
from billing.stripe.sessions import SessionCommand
from billing.topups import recharge_outcomes, recharges
from core.errors import DomainError
from core.states import transition


class CheckoutCommand(SessionCommand):
    """Open a page of Stripe's for one top-up by card."""

    kind = StripeCommand.Kind.CREATE_CHECKOUT_SESSION

    def params(self, command: StripeCommand) -> dict[str, Any]:
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

    def done(self, command: StripeCommand, sent: Sent) -> None:
        """Keep the page's address. The customer may have paid there already, if we learn of our own success late."""
        row = CardTopUp.objects.select_for_update().get(pk=command.subject_id)
        if row.session_id is None:
            row.session_id, row.checkout_url = sent.object_id, sent.url
            row.save(update_fields=["session_id", "checkout_url"])
        if row.status in (row.Status.CREATED, row.Status.FAILED):
            transition(row, row.Status.OPEN, ended_at=None)

    def dead(self, command: StripeCommand, error: DomainError) -> None:
        """There is no page to pay on."""
        row = CardTopUp.objects.select_for_update().get(pk=command.subject_id)
        if row.status == row.Status.CREATED:
            transition(row, row.Status.FAILED, code=error.code, ended_at=timezone.now())


def _url(row: CardTopUp, page: str) -> str:
    return row.site_url + reverse(page, args=[row.public_id])


@dataclass(frozen=True, kw_only=True)
class Charged(Sent):
    """What the bank said at once; it may be no."""

    payment: Payment


class ChargeCommand(StripeCommandKind):
    """Charge a saved card for an automatic recharge, while nobody is there."""

    kind = StripeCommand.Kind.CHARGE_SAVED_CARD

    def params(self, command: StripeCommand) -> dict[str, Any]:
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

    def send(self, command: StripeCommand) -> Sent:
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

    def find(self, command: StripeCommand) -> Sent | None:
        payment = gateway.find_payment(
            customer_id=(command.params or {})["customer"],
            command=command.idempotency_key,
            since_unix=since_unix(command),
        )
        row = CardTopUp.objects.select_related("command", "customer").get(pk=command.subject_id)
        return _checked(row, payment) if payment else None

    def done(self, command: StripeCommand, sent: Sent) -> None:
        """What came of it, in the transaction that ends the command."""
        assert isinstance(sent, Charged)
        recharge_outcomes.settle(recharge_outcomes.locked(command.subject_id), sent.payment)

    def dead(self, command: StripeCommand, error: DomainError) -> None:
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


class SetupCommand(SessionCommand):
    """Open a page of Stripe's which saves a card and takes no money."""

    kind = StripeCommand.Kind.CREATE_SETUP_SESSION

    def params(self, command: StripeCommand) -> dict[str, Any]:
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

    def done(self, command: StripeCommand, sent: Sent) -> None:
        """Keep the page's address."""
        SavedCard.objects.filter(pk=command.subject_id, session_id=None).update(
            session_id=sent.object_id, checkout_url=sent.url
        )

    def dead(self, command: StripeCommand, error: DomainError) -> None:
        """There is no page to save it on."""
        row = SavedCard.objects.select_for_update().get(pk=command.subject_id)
        if row.status == row.Status.PENDING:
            transition(row, row.Status.FAILED, code=error.code, ended_at=timezone.now())


class DetachCommand(StripeCommandKind):
    """Have Stripe let a card go."""

    kind = StripeCommand.Kind.DETACH_CARD

    def params(self, command: StripeCommand) -> dict[str, Any]:
        return {"payment_method": SavedCard.objects.get(pk=command.subject_id).payment_method_id}

    def send(self, command: StripeCommand) -> Sent:
        """A card that was let go before, by whomever, is as good."""
        card_id = (command.params or {})["payment_method"]
        gateway.detach_card(card_id, idempotency_key=command.idempotency_key)
        return Sent(card_id)

    def find(self, command: StripeCommand) -> Sent | None:
        card = gateway.retrieve_card((command.params or {})["payment_method"])
        return None if card.customer_id else Sent(card.id)

    def done(self, command: StripeCommand, sent: Sent) -> None:
        """The row said that it is removed before Stripe was asked."""

    def dead(self, command: StripeCommand, error: DomainError) -> None:
        """Operators see the command. We charge the card no more, whatever Stripe keeps."""
