"""What happens on a payment page: cards that pay or are declined, a bank that asks, a debit that takes days."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from marketplace.local.fake_stripe import card_objects, objects, refund_dispute_objects
from marketplace.local.fake_stripe.card_numbers import (
    BANK_DEBIT,
    CONFIRMATION_NUMBERS,
    DECLINED,
    KNOWN,
    ON_SESSION,
    PAYS,
)
from marketplace.local.fake_stripe.emitter import Emitter
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.objects import Object

__all__ = ["BANK_DEBIT", "DECLINED", "PAYS", "Payments"]

FEE_PERMILLE, FEE_FIXED = 29, 30


class Payments:
    """Changes sessions, payments and charges, and emits an event for each change."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter, self.store, self.now = emitter, emitter.store, emitter.now
        self.when_time_passes: list[Callable[[], None]] = []
        self.when_paid: list[Callable[[Object], None]] = []  # called with each paid charge, e.g. to dispute it
        self.book_later = False  # True: a charge gets its balance transaction only when `book` is called, late

    def pay(self, session_id: str, number: str) -> str:
        """Try to pay an open session. Return "paid", "asks", "processing", or the decline's code.

        Raises ApiError if the session is not open or the number is not one of the test numbers.
        """
        session = self.open_session(session_id)
        method = self.typed(number)
        number = method["_number"]
        intent = self._intent(session)
        intent["payment_method"] = method["id"]
        if number in CONFIRMATION_NUMBERS:
            intent["status"] = "requires_action"
            self.emitter.changed("payment_intent.requires_action", intent)
            return "asks"
        if number in ON_SESSION:
            return self.decline(intent, *ON_SESSION[number])
        if number == BANK_DEBIT:
            self.wait(intent)
            self._complete(session, paid=False)
            return "processing"
        return self._succeed(session, intent)

    def typed(self, number: str) -> Object:
        """Return a new payment method for a number that somebody typed. Raises ApiError for an unknown number."""
        number = number.replace(" ", "")
        if number not in KNOWN:
            raise ApiError(402, "Your card number is incorrect.", kind="card_error", code="incorrect_number")
        year = datetime.fromtimestamp(self.now(), tz=UTC).year
        method = card_objects.payment_method(self.store.new_id("pm"), self.now(), number=number, year=year)
        return self.store.put(method)

    def attach(self, method_id: str, customer_id: str) -> None:
        """Save a payment method for the customer."""
        method = self.store.get(method_id, "payment_method")
        if method and method["customer"] is None and customer_id:
            method["customer"] = customer_id
            self.emitter.changed("payment_method.attached", method)

    def answer_bank(self, session_id: str, *, passed: bool) -> str:
        """Finish 3D Secure. Return "paid" or the decline's code."""
        session = self.open_session(session_id)
        intent = self._intent(session)
        if intent["status"] != "requires_action":
            raise ApiError(400, "The bank is not asking anything.")
        if not passed:
            return self.decline(intent, "authentication_required", "Your bank could not confirm that it was you.")
        method: Object = self.store.get(intent["payment_method"]) or {}
        if method["_number"] in ON_SESSION:
            return self.decline(intent, *ON_SESSION[method["_number"]])
        return self._succeed(session, intent)

    def settle(self, session_id: str, *, paid: bool) -> None:
        """Finish the bank debit of a Checkout session."""
        session: Object = self.store.get(session_id, "checkout.session") or {}
        self.settle_payment(str(session.get("payment_intent")), paid=paid)
        if paid:
            session["payment_status"] = "paid"
            self.emitter.changed("checkout.session.async_payment_succeeded", session)
        else:
            self.emitter.changed("checkout.session.async_payment_failed", session)

    def settle_payment(self, intent_id: str, *, paid: bool) -> None:
        """Finish a bank debit, whether it began on a page or off session. Raises ApiError if none is under way."""
        intent: Object = self.store.get(intent_id, "payment_intent") or {}
        if intent.get("status") != "processing":
            raise ApiError(400, "No bank debit is under way.")
        if paid:
            self.take(intent)
        else:
            self.decline(intent, "debit_not_authorized", "The bank returned the debit.")

    def expire(self, session_id: str) -> Object:
        """Close an open session without a payment. Raises ApiError if it is not open."""
        session = self.open_session(session_id)
        session["status"], session["url"] = "expired", None
        return self.emitter.changed("checkout.session.expired", session)

    def expire_old(self) -> None:
        """Do what is due by now: close sessions that have expired, and run `when_time_passes`."""
        for session in self.store.newest("checkout.session"):
            if session["status"] == "open" and session["expires_at"] <= self.now():
                self.expire(session["id"])
        for act in self.when_time_passes:
            act()

    def book(self) -> None:
        """Create the balance transaction of every paid charge that has none yet (see `book_later`)."""
        for charge in self.store.newest("charge"):
            if charge["paid"] and charge["balance_transaction"] is None:
                self._book(charge)
                self.emitter.changed("charge.updated", charge)

    def open_session(self, session_id: str) -> Object:
        """Return a session. Raises ApiError if it is not open."""
        session = self.store.get(session_id, "checkout.session")
        if session is None or session["status"] != "open":
            raise ApiError(400, "This Checkout Session is not open.", code="checkout_session_not_open")
        return session

    def _intent(self, session: Object) -> Object:
        """Return the session's payment, which is created by the first attempt."""
        if session["payment_intent"]:
            intent: Object = self.store.get(session["payment_intent"]) or {}
            return intent
        intent = objects.payment_intent(self.store.new_id("pi"), self.now(), of=session)
        session["payment_intent"] = intent["id"]
        self.store.put(session)
        return self.emitter.changed("payment_intent.created", intent)

    def number_of(self, charge: Object) -> str:
        """Return the number that the payer typed."""
        method = self.store.get(str(charge["payment_method"]), "payment_method") or {}
        return str(method.get("_number", ""))

    def wait(self, intent: Object) -> None:
        """Start a bank debit, which takes days."""
        intent["status"] = "processing"
        self.emitter.changed("payment_intent.processing", intent)

    def decline(self, intent: Object, code: str, message: str) -> str:
        """Decline a payment: create a failed charge and put the reason into the intent. Return the decline's code."""
        charge = objects.charge(self.store.new_id("ch"), self.now(), of=intent, paid=False, declined=message)
        self.emitter.changed("charge.failed", charge)
        error: dict[str, Any] = {
            "type": "card_error",
            "code": code if code == "authentication_required" else "card_declined",
            "decline_code": code,
            "message": message,
            "charge": charge["id"],
        }
        intent |= {"status": "requires_payment_method", "last_payment_error": error, "latest_charge": charge["id"]}
        self.emitter.changed("payment_intent.payment_failed", intent)
        return code

    def _succeed(self, session: Object, intent: Object) -> str:
        self.take(intent)
        self._complete(session, paid=True)
        return "paid"

    def take(self, intent: Object) -> None:
        """Take the payment: create a paid charge, and save the card if the session asked for it."""
        charge = objects.charge(self.store.new_id("ch"), self.now(), of=intent, paid=True)
        charge["payment_method_details"] = refund_dispute_objects.details(self.number_of(charge))
        if not self.book_later:
            self._book(charge)
        self.emitter.changed("charge.succeeded", charge)
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
        intent["last_payment_error"] = None
        if intent["setup_future_usage"] and intent["payment_method"]:
            self.attach(intent["payment_method"], intent["customer"])
        self.emitter.changed("payment_intent.succeeded", intent)
        for act in self.when_paid:
            act(charge)

    def _book(self, charge: Object) -> None:
        fee = (charge["amount"] * FEE_PERMILLE + 999) // 1000 + FEE_FIXED
        transaction = objects.balance_transaction(self.store.new_id("txn"), self.now(), of=charge, fee=fee)
        charge["balance_transaction"] = self.store.put(transaction)["id"]

    def _complete(self, session: Object, *, paid: bool) -> None:
        session |= {"status": "complete", "payment_status": "paid" if paid else "unpaid", "url": None}
        self.emitter.changed("checkout.session.completed", session)
