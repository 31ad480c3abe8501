"""Checkout in setup mode: save a card without taking a payment."""

from typing import Any

from marketplace.local.fake_stripe import card_objects
from marketplace.local.fake_stripe.card_numbers import CONFIRMATION_NUMBERS, DECLINED
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.payments import Payments


class Setups:
    """Changes sessions in setup mode and their setup intents, and emits an event for each change."""

    def __init__(self, payments: Payments) -> None:
        self.payments, self.emitter, self.store = payments, payments.emitter, payments.store

    def save(self, session_id: str, number: str) -> str:
        """Try to save a card. Return "saved", "asks", or the decline's code. Raises ApiError as `Payments.pay` does."""
        session = self.payments.open_session(session_id)
        method = self.payments.typed(number)
        intent = self._intent(session)
        intent["payment_method"] = method["id"]
        if method["_number"] in DECLINED:
            return self._decline(intent, *DECLINED[method["_number"]])
        if method["_number"] in CONFIRMATION_NUMBERS:
            intent["status"] = "requires_action"
            self.emitter.changed("setup_intent.requires_action", intent)
            return "asks"
        return self._succeed(session, intent)

    def answer_bank(self, session_id: str, *, passed: bool) -> str:
        """Finish 3D Secure. Return "saved", or the decline's code if the cardholder did not pass."""
        session = self.payments.open_session(session_id)
        intent = self._intent(session)
        if intent["status"] != "requires_action":
            raise ApiError(400, "The bank is not asking anything.")
        if not passed:
            return self._decline(intent, "authentication_required", "Your bank could not confirm that it was you.")
        return self._succeed(session, intent)

    def _intent(self, session: Object) -> Object:
        """Return the session's setup intent, which is created by the first attempt."""
        if session["setup_intent"]:
            intent: Object = self.store.get(session["setup_intent"]) or {}
            return intent
        intent = card_objects.setup_intent(self.store.new_id("seti"), self.payments.now(), of=session)
        session["setup_intent"] = intent["id"]
        self.store.put(session)
        return self.emitter.changed("setup_intent.created", intent)

    def _decline(self, intent: Object, code: str, message: str) -> str:
        error: dict[str, Any] = {
            "type": "card_error",
            "code": "card_declined",
            "decline_code": code,
            "message": message,
        }
        intent |= {"status": "requires_payment_method", "last_setup_error": error, "payment_method": None}
        self.emitter.changed("setup_intent.setup_failed", intent)
        return code

    def _succeed(self, session: Object, intent: Object) -> str:
        self.payments.attach(intent["payment_method"], intent["customer"])
        intent |= {"status": "succeeded", "last_setup_error": None}
        self.emitter.changed("setup_intent.succeeded", intent)
        session |= {"status": "complete", "payment_status": "no_payment_required", "url": None}
        self.emitter.changed("checkout.session.completed", session)
        return "saved"
