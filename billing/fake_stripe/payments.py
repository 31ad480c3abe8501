"""What happens on the page: cards that pay, cards that are refused, a bank that asks, a debit that takes days."""

from collections.abc import Callable
from typing import Any

from billing.fake_stripe import late_objects, objects
from billing.fake_stripe.emitter import Emitter
from billing.fake_stripe.errors import ApiError
from billing.fake_stripe.late_numbers import LATE
from billing.fake_stripe.objects import Object

PAYS = "4242424242424242"
DECLINED = {
    "4000000000000002": ("generic_decline", "Your card was declined."),
    "4000000000009995": ("insufficient_funds", "Your card has insufficient funds."),
    "4000000000000069": ("expired_card", "Your card has expired."),
}
ASKS = ("4000002500003155", "4000000000003220")  # 3D Secure: the bank wants to know that it is you
BANK_DEBIT = "000123456789"  # pays or bounces later
FEE_PERMILLE, FEE_FIXED = 29, 30


class Payments:
    """Moves sessions, payments and charges, and says so in events."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter, self.store, self.now = emitter, emitter.store, emitter.now
        self.when_time_passes: list[Callable[[], None]] = []
        self.when_paid: list[Callable[[Object], None]] = []  # what the number of a card brings about then
        self.book_later = False  # Stripe may show a balance transaction only after a while

    def pay(self, session_id: str, number: str) -> str:
        """Try to pay an open session. Returns "paid", "asks", "processing", or the decline's code.

        Raises ApiError when the session is not open or the number is nobody's.
        """
        session = self.open_session(session_id)
        number = number.replace(" ", "")
        if number not in (PAYS, BANK_DEBIT, *DECLINED, *ASKS, *LATE):
            raise ApiError(402, "Your card number is incorrect.", kind="card_error", code="incorrect_number")
        intent = self._intent(session)
        method = {"id": self.store.new_id("pm"), "object": "payment_method", "created": self.now(), "_number": number}
        intent["payment_method"] = self.store.put(method)["id"]
        if number in DECLINED:
            return self._decline(intent, *DECLINED[number])
        if number in ASKS:
            intent["status"] = "requires_action"
            self.emitter.changed("payment_intent.requires_action", intent)
            return "asks"
        if number == BANK_DEBIT:
            intent["status"] = "processing"
            self.emitter.changed("payment_intent.processing", intent)
            self._complete(session, paid=False)
            return "processing"
        return self._succeed(session, intent)

    def answer_bank(self, session_id: str, *, passed: bool) -> str:
        """The end of 3D Secure."""
        session = self.open_session(session_id)
        intent = self._intent(session)
        if intent["status"] != "requires_action":
            raise ApiError(400, "The bank asks nothing.")
        if not passed:
            return self._decline(intent, "authentication_required", "The bank could not tell that it was you.")
        return self._succeed(session, intent)

    def settle(self, session_id: str, *, paid: bool) -> None:
        """The end of a bank debit."""
        session: Object = self.store.get(session_id, "checkout.session") or {}
        intent: Object = self.store.get(str(session.get("payment_intent")), "payment_intent") or {}
        if intent.get("status") != "processing":
            raise ApiError(400, "No bank debit is under way.")
        if paid:
            self._take(intent)
            session["payment_status"] = "paid"
            self.emitter.changed("checkout.session.async_payment_succeeded", session)
        else:
            self._decline(intent, "debit_not_authorized", "The bank returned the debit.")
            self.emitter.changed("checkout.session.async_payment_failed", session)

    def expire(self, session_id: str) -> Object:
        """End an open session unpaid."""
        session = self.open_session(session_id)
        session["status"], session["url"] = "expired", None
        return self.emitter.changed("checkout.session.expired", session)

    def expire_old(self) -> None:
        """What time does."""
        for session in self.store.newest("checkout.session"):
            if session["status"] == "open" and session["expires_at"] <= self.now():
                self.expire(session["id"])
        for act in self.when_time_passes:
            act()

    def book(self) -> None:
        """Book every charge that waits for it."""
        for charge in self.store.newest("charge"):
            if charge["paid"] and charge["balance_transaction"] is None:
                self._book(charge)
                self.emitter.changed("charge.updated", charge)

    def open_session(self, session_id: str) -> Object:
        session = self.store.get(session_id, "checkout.session")
        if session is None or session["status"] != "open":
            raise ApiError(400, "This Checkout Session is not open.", code="checkout_session_not_open")
        return session

    def _intent(self, session: Object) -> Object:
        """The session's payment, made with the first try."""
        if session["payment_intent"]:
            found: Object = self.store.get(session["payment_intent"]) or {}
            return found
        intent = objects.payment_intent(self.store.new_id("pi"), self.now(), of=session)
        session["payment_intent"] = intent["id"]
        self.store.put(session)
        return self.emitter.changed("payment_intent.created", intent)

    def number_of(self, charge: Object) -> str:
        """What the payer typed."""
        method = self.store.get(str(charge["payment_method"]), "payment_method") or {}
        return str(method.get("_number", ""))

    def _decline(self, intent: Object, code: str, message: str) -> str:
        charge = objects.charge(self.store.new_id("ch"), self.now(), of=intent, paid=False, declined=message)
        self.emitter.changed("charge.failed", charge)
        error: dict[str, Any] = {
            "type": "card_error", "code": "card_declined", "decline_code": code, "message": message,
            "charge": charge["id"],
        }  # fmt: skip
        intent |= {"status": "requires_payment_method", "last_payment_error": error, "latest_charge": charge["id"]}
        self.emitter.changed("payment_intent.payment_failed", intent)
        return code

    def _succeed(self, session: Object, intent: Object) -> str:
        self._take(intent)
        self._complete(session, paid=True)
        return "paid"

    def _take(self, intent: Object) -> None:
        charge = objects.charge(self.store.new_id("ch"), self.now(), of=intent, paid=True)
        charge["payment_method_details"] = late_objects.details(self.number_of(charge))
        if not self.book_later:
            self._book(charge)
        self.emitter.changed("charge.succeeded", charge)
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
        intent["last_payment_error"] = None
        self.emitter.changed("payment_intent.succeeded", intent)
        for act in self.when_paid:
            act(charge)

    def _book(self, charge: Object) -> None:
        fee = (charge["amount"] * FEE_PERMILLE + 999) // 1000 + FEE_FIXED
        booked = objects.balance_transaction(self.store.new_id("txn"), self.now(), of=charge, fee=fee)
        charge["balance_transaction"] = self.store.put(booked)["id"]

    def _complete(self, session: Object, *, paid: bool) -> None:
        session |= {"status": "complete", "payment_status": "paid" if paid else "unpaid", "url": None}
        self.emitter.changed("checkout.session.completed", session)
