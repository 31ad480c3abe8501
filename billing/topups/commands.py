"""Commands to Stripe about cards: open a page to pay or to save a card, charge a saved card, detach a card."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from billing.models import AutoRecharge, CardTopUp, SavedCard, StripeCommand
from billing.stripe import gateway
from billing.stripe.amounts import to_minor
from billing.stripe.commands import CommandResult, StripeCommandKind, since_unix
from billing.stripe.gateway import CardDeclined, Payment, StripeRefused
from billing.stripe.sessions import SessionCommand
from billing.topups import recharge_outcomes, recharges
from core.errors import DomainError
from core.states import transition


class CheckoutCommand(SessionCommand):
    """Open a page of Stripe's on which a customer pays one top-up by card."""

    kind = StripeCommand.Kind.CREATE_CHECKOUT_SESSION

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return a payment of the top-up's amount. Stripe offers the payment methods that are enabled in its dashboard.

        Stripe keeps the card only if the customer asked for that (`saves_card`).
        """
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
            "adaptive_pricing": {"enabled": False},  # no conversion: the wallet is credited with exactly this amount
            "payment_intent_data": {
                "metadata": metadata,
                **({"setup_future_usage": "off_session"} if row.saves_card else {}),
            },
            "metadata": metadata,
            "success_url": _url(row, "top_up_done"),
            "cancel_url": _url(row, "top_up_left"),
        }

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Store the page's address.

        If this answer comes late, the customer may already have paid on the page; the status then stays as it is.
        """
        row = CardTopUp.objects.select_for_update().get(pk=command.subject_id)
        if row.session_id is None:
            row.session_id, row.checkout_url = sent.object_id, sent.url
            row.save(update_fields=["session_id", "checkout_url"])
        if row.status in (row.Status.CREATED, row.Status.FAILED):  # FAILED: given up, and now Stripe did open it
            transition(row, row.Status.OPEN, ended_at=None)

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Fail the top-up: there is no page to pay on."""
        row = CardTopUp.objects.select_for_update().get(pk=command.subject_id)
        if row.status == row.Status.CREATED:
            transition(row, row.Status.FAILED, code=error.code, ended_at=timezone.now())


def _url(row: CardTopUp, page: str) -> str:
    return row.site_url + reverse(page, args=[row.public_id])


@dataclass(frozen=True, kw_only=True)
class ChargeResult(CommandResult):
    """Stripe's answer to a charge, with the payment. The payment may have been refused by the bank."""

    payment: Payment


class ChargeCommand(StripeCommandKind):
    """Charge a saved card for an automatic recharge, without the customer present."""

    kind = StripeCommand.Kind.CHARGE_SAVED_CARD

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return an off-session charge without redirects, since there is nobody who could be redirected."""
        row = CardTopUp.objects.select_related("customer", "saved_card").get(pk=command.subject_id)
        assert row.saved_card is not None  # a constraint of the database
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

    def send(self, command: StripeCommand) -> CommandResult:
        """Charge the card if the recharge is still allowed. A refusal by the bank is an answer, not an error.

        Raises StripeRefused with a code of our own, without calling Stripe, when the recharge is no longer allowed.
        """
        row = CardTopUp.objects.select_related("organization", "saved_card").get(pk=command.subject_id)
        if code := _forbidden_code(row):
            raise StripeRefused("This recharge is no longer allowed.", code=code)
        try:
            payment = gateway.charge_card(command.params or {}, idempotency_key=command.idempotency_key)
        except CardDeclined as error:  # refused without a payment in the answer
            raise StripeRefused(error.message, code=error.fields.get("decline_code") or error.code) from error
        return _checked(row, payment)

    def find(self, command: StripeCommand) -> CommandResult | None:
        payment = gateway.find_payment(
            customer_id=(command.params or {})["customer"],
            command=command.idempotency_key,
            since_unix=since_unix(command),
        )
        row = CardTopUp.objects.select_related("command", "customer").get(pk=command.subject_id)
        return _checked(row, payment) if payment else None

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Settle the recharge by its payment, in the transaction that ends the command."""
        assert isinstance(sent, ChargeResult)
        recharge_outcomes.settle(recharge_outcomes.lock_recharge(command.subject_id), sent.payment)

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Fail the recharge, and pause further ones where a person must look first."""
        recharge_outcomes.give_up(command, error)


def _forbidden_code(row: CardTopUp) -> str:
    """Return why the card must not be charged any more, or "" if it may be.

    Some time may have passed since the recharge was queued, so everything that allowed it is checked again.
    """
    assert row.saved_card is not None
    recharge = AutoRecharge.objects.filter(organization_id=row.organization_id).first()
    if row.status != CardTopUp.Status.CREATED:
        return "recharge_over"  # given up before; another recharge may have used the month's cap since
    if row.organization.status != Organization.Status.ACTIVE:
        return "organization_suspended"
    if row.saved_card.status != SavedCard.Status.ACTIVE:
        return "card_removed"
    if recharge is None or not recharge.is_on:
        return "recharge_off"
    if recharge.paused_code:
        return "recharge_paused"
    # The month's charges already include this one.
    is_over_cap = recharges.month(recharge, at=row.created_at).charged_micro > recharge.monthly_cap_micro
    return "recharge_over_cap" if is_over_cap else ""


def _checked(row: CardTopUp, payment: Payment) -> ChargeResult:
    recharge_outcomes.check(row, payment)
    return ChargeResult(object_id=payment.id, payment=payment)


class SetupCommand(SessionCommand):
    """Open a page of Stripe's that saves a card and takes no money."""

    kind = StripeCommand.Kind.CREATE_SETUP_SESSION

    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return a setup of one card for later off-session payments.

        Stripe requires the currency when no list of payment methods is given.
        """
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

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Store the page's address."""
        SavedCard.objects.filter(pk=command.subject_id, session_id=None).update(
            session_id=sent.object_id, checkout_url=sent.url
        )

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Fail the card: there is no page to save it on."""
        row = SavedCard.objects.select_for_update().get(pk=command.subject_id)
        if row.status == row.Status.PENDING:
            transition(row, row.Status.FAILED, code=error.code, ended_at=timezone.now())


class DetachCommand(StripeCommandKind):
    """Detach a removed card from its customer at Stripe."""

    kind = StripeCommand.Kind.DETACH_CARD

    def params(self, command: StripeCommand) -> dict[str, Any]:
        return {"payment_method": SavedCard.objects.get(pk=command.subject_id).payment_method_id}

    def send(self, command: StripeCommand) -> CommandResult:
        """Detach the card. One that is detached already is a success."""
        card_id = (command.params or {})["payment_method"]
        gateway.detach_card(card_id, idempotency_key=command.idempotency_key)
        return CommandResult(card_id)

    def find(self, command: StripeCommand) -> CommandResult | None:
        card = gateway.retrieve_card((command.params or {})["payment_method"])
        return None if card.customer_id else CommandResult(card.id)

    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Do nothing: the card's row was marked as removed before the command was sent."""

    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Do nothing: operators see the command, and we never charge a removed card, whatever Stripe keeps."""
