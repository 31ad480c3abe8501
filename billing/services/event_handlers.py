"""Which events matter, and what is done about each: fetch what it names, then act on that."""

from collections.abc import Callable

from billing import gateway
from billing.gateway import CheckoutSession
from billing.services import card_disputes, card_top_ups, refund_outcomes

# Takes the id of the event's object; False when it is nothing of ours. Raises DomainErrors.
Handler = Callable[[str], bool]


def _session(object_id: str) -> bool:
    return _apply(gateway.retrieve_checkout_session(object_id))


def _payment(object_id: str) -> bool:
    """A refused card, for instance: the page stays open, and the customer sees why."""
    session_id = gateway.find_session_of_payment(object_id)
    return bool(session_id) and _session(session_id)


def _charge(object_id: str) -> bool:
    """Stripe may book a payment, and know its fee, some time after it was made."""
    payment_id = gateway.payment_of_charge(object_id)
    return bool(payment_id) and _payment(payment_id)


def _refund(object_id: str) -> bool:
    return refund_outcomes.apply(gateway.retrieve_refund(object_id))


def dispute(object_id: str) -> bool:
    """Its event may come before that of the payment: that is credited first then."""
    found = gateway.retrieve_dispute(object_id)
    if card_disputes.apply(found):
        return True
    return bool(found.payment_intent_id) and _payment(found.payment_intent_id) and card_disputes.apply(found)


def _apply(session: CheckoutSession) -> bool:
    if not session.command.startswith("card_top_up:"):
        return False
    card_top_ups.apply(session)
    return True


HANDLERS: dict[str, Handler] = {
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "checkout.session.async_payment_failed": _session,
    "checkout.session.expired": _session,
    "payment_intent.payment_failed": _payment,
    "charge.updated": _charge,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.dispute.created": dispute,
    "charge.dispute.updated": dispute,
    "charge.dispute.funds_withdrawn": dispute,
    "charge.dispute.funds_reinstated": dispute,
    "charge.dispute.closed": dispute,
}
