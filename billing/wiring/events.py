"""The Stripe events that we act on, and a handler for each type.

A handler fetches the object that the event names and acts on its present state, never on the event's own content. It
returns whether the object is ours, and raises DomainErrors of Stripe and of the services.
"""

from django.db.models import Q
from django.utils import timezone

from billing.chargebacks import chargebacks
from billing.models import ConnectedAccount
from billing.payouts import accounts as connected_accounts
from billing.payouts import bank, reversals
from billing.refunds import outcomes as refund_outcomes
from billing.stripe import gateway
from billing.stripe.gateway import CheckoutSession, Payment
from billing.stripe.inbox import ConnectedHandler, ObjectHandler
from billing.topups import recharge_outcomes, saved_cards, top_ups


def _session(object_id: str) -> bool:
    return _apply(gateway.retrieve_checkout_session(object_id))


def _payment(object_id: str) -> bool:
    """Apply a payment: directly if it charged a saved card, through its session if it was made on a Checkout page.

    A card refused on a page leaves the page open, and the customer sees the reason there.
    """
    payment = gateway.retrieve_payment(object_id)
    if _charged_saved_card(payment):
        recharge_outcomes.apply(payment)
        return True
    session_id = gateway.find_session_of_payment(object_id)
    return bool(session_id) and _session(session_id)


def _saved_card_payment(object_id: str) -> bool:
    """Apply a payment that charged a saved card.

    The outcome of a payment on a page comes with the events of its session.
    """
    payment = gateway.retrieve_payment(object_id)
    if not _charged_saved_card(payment):
        return False
    recharge_outcomes.apply(payment)
    return True


def _card(object_id: str) -> bool:
    return saved_cards.refresh_from_bank(gateway.retrieve_card(object_id))


def _charge(object_id: str) -> bool:
    """Apply the charge's payment again: Stripe may book a payment, with its fee, some time after it was made."""
    payment_id = gateway.payment_of_charge(object_id)
    return bool(payment_id) and _payment(payment_id)


def _refund(object_id: str) -> bool:
    return refund_outcomes.apply(gateway.retrieve_refund(object_id))


def _dispute(object_id: str) -> bool:
    """Apply a chargeback.

    When its payment is not known yet, because that event is still to come, credit the payment first.
    """
    found = gateway.retrieve_dispute(object_id)
    if chargebacks.apply(found):
        return True
    return bool(found.payment_intent_id) and _payment(found.payment_intent_id) and chargebacks.apply(found)


def _apply(session: CheckoutSession) -> bool:
    if session.command.startswith("card_top_up:"):
        top_ups.apply(session)
    elif session.command.startswith("saved_card:"):
        saved_cards.apply(session)
    else:
        return False
    return True


def _transfer(object_id: str) -> bool:
    """Apply the reversal of a transfer to an owner's account, made by us or in Stripe's dashboard."""
    return reversals.apply(gateway.retrieve_transfer(object_id))


def _charged_saved_card(payment: Payment) -> bool:
    return payment.command.startswith("card_top_up:") and ":charge:" in payment.command


OBJECTS: dict[str, ObjectHandler] = {
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "checkout.session.async_payment_failed": _session,
    "checkout.session.expired": _session,
    "payment_intent.payment_failed": _payment,
    "payment_intent.succeeded": _saved_card_payment,
    "payment_intent.processing": _saved_card_payment,
    "payment_intent.canceled": _saved_card_payment,
    "payment_method.automatically_updated": _card,
    "payment_method.updated": _card,
    "payment_method.detached": _card,
    "charge.updated": _charge,
    "transfer.reversed": _transfer,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "charge.dispute.closed": _dispute,
}


def _account(account_id: str) -> bool:
    """Apply the state of an owner's account (an event of API v2).

    An account with an unknown id may be ours too, as long as the answer to a command that makes one is missing.
    """
    may_be_ours = Q(stripe_id=account_id) | Q(stripe_id=None, command__outcome_unknown=True)
    if not ConnectedAccount.objects.filter(may_be_ours).exists():
        return False
    asked_at = timezone.now()
    return connected_accounts.apply(gateway.retrieve_account(account_id), asked_at=asked_at) is not None


def _bank_payout(account_id: str, payout_id: str) -> bool:
    if not ConnectedAccount.objects.filter(stripe_id=account_id).exists():
        return False
    return bank.apply(gateway.retrieve_bank_payout(payout_id, account_id=account_id))


THIN: dict[str, ObjectHandler] = {
    "v2.core.account[requirements].updated": _account,
    "v2.core.account[configuration.recipient].capability_status_updated": _account,
    "v2.core.account.closed": _account,
}
CONNECTED: dict[str, ConnectedHandler] = {
    "payout.created": _bank_payout,
    "payout.updated": _bank_payout,
    "payout.paid": _bank_payout,
    "payout.failed": _bank_payout,
    "payout.canceled": _bank_payout,
}
