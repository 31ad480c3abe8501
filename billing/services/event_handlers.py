"""Which events matter, and what is done about each: fetch what it names, then act on that."""

from collections.abc import Callable

from billing import gateway
from billing.gateway import CheckoutSession, Payment
from billing.services import auto_recharge_outcomes, card_top_ups, payout_reversals, saved_cards

# Takes the id of the event's object; False when it is nothing of ours. Raises DomainErrors.
Handler = Callable[[str], bool]


def _session(object_id: str) -> bool:
    return _apply(gateway.retrieve_checkout_session(object_id))


def _payment(object_id: str) -> bool:
    """On a page: a refused card, for instance; the page stays open, and the customer sees why. Or of a saved card."""
    payment = gateway.retrieve_payment(object_id)
    if _of_saved_card(payment):
        auto_recharge_outcomes.apply(payment)
        return True
    session_id = gateway.find_session_of_payment(object_id)
    return bool(session_id) and _session(session_id)


def _saved_card_payment(object_id: str) -> bool:
    """What a payment on a page comes to is told by its session."""
    payment = gateway.retrieve_payment(object_id)
    if not _of_saved_card(payment):
        return False
    auto_recharge_outcomes.apply(payment)
    return True


def _card(object_id: str) -> bool:
    return saved_cards.refresh_from_bank(gateway.retrieve_card(object_id))


def _charge(object_id: str) -> bool:
    """Stripe may book a payment, and know its fee, some time after it was made."""
    payment_id = gateway.payment_of_charge(object_id)
    return bool(payment_id) and _payment(payment_id)


def _apply(session: CheckoutSession) -> bool:
    if session.command.startswith("card_top_up:"):
        card_top_ups.apply(session)
    elif session.command.startswith("saved_card:"):
        saved_cards.apply(session)
    else:
        return False
    return True


def _transfer(object_id: str) -> bool:
    """Fetched back from an owner's account, perhaps in Stripe's dashboard."""
    return payout_reversals.apply(gateway.retrieve_transfer(object_id))


def _of_saved_card(payment: Payment) -> bool:
    return payment.command.startswith("card_top_up:") and ":charge:" in payment.command


HANDLERS: dict[str, Handler] = {
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
}
