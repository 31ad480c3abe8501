"""Which events matter, and what is done about each: fetch what it names, then act on that."""

from collections.abc import Callable

from billing import gateway
from billing.gateway import CheckoutSession
from billing.services import card_top_ups, payout_reversals

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


def _apply(session: CheckoutSession) -> bool:
    if not session.command.startswith("card_top_up:"):
        return False
    card_top_ups.apply(session)
    return True


def _transfer(object_id: str) -> bool:
    """Fetched back from an owner's account, perhaps in Stripe's dashboard."""
    return payout_reversals.apply(gateway.retrieve_transfer(object_id))


HANDLERS: dict[str, Handler] = {
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "checkout.session.async_payment_failed": _session,
    "checkout.session.expired": _session,
    "payment_intent.payment_failed": _payment,
    "charge.updated": _charge,
    "transfer.reversed": _transfer,
}
