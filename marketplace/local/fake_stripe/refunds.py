"""Refunds: booked on the charge at once. Some are pending at the bank for a while, and some come back."""

from marketplace.local.fake_stripe import refund_dispute_objects
from marketplace.local.fake_stripe.errors import ApiError, missing, parameter_missing
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.problem_card_numbers import REFUND_FAILS, REFUND_PENDS
from marketplace.local.fake_stripe.section import PAGE, Route, Section, refuse_unknown

REASONS = ("duplicate", "fraudulent", "requested_by_customer")
LATER_S = 60  # seconds until a refund succeeds or fails as its card's test number says


class Refunds(Section):
    """The API's routes for refunds and charges, and what banks do with refunds."""

    def make_routes(self) -> list[Route]:
        self.payments.when_time_passes.append(self.pass_time)
        return [
            ("POST", r"/v1/refunds", self.create),
            ("GET", r"/v1/refunds", self.list_refunds),
            ("GET", r"/v1/refunds/(?P<object_id>\w+)", self.get),
            ("GET", r"/v1/charges", self.list_charges),
        ]

    def create(self, params: Form) -> Object:
        refuse_unknown(params, {"payment_intent", "charge", "amount", "reason", "metadata", "expand"})
        charge = self._charge(params)
        amount = self._amount(params, charge)
        reason = params.get("reason")
        if reason is not None and reason not in REASONS:
            raise ApiError(400, f"Invalid reason: must be one of {', '.join(REASONS)}", param="reason")
        refund = refund_dispute_objects.refund(
            self.store.new_id("re"),
            self.now(),
            of=charge,
            amount=amount,
            metadata=params.get("metadata", {}),
            reason=reason,
        )
        number = self.payments.number_of(charge)
        refund["_later"] = {REFUND_PENDS: "succeeded", REFUND_FAILS: "failed"}.get(number, "")
        refund["status"] = "pending" if number == REFUND_PENDS else "succeeded"
        refund["balance_transaction"] = self._book(refund, "refund", "refund", -amount)
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self.emitter.changed("charge.refunded", charge)
        self.emitter.changed("refund.created", refund)
        return self.expanded(refund, params.get("expand", []))

    def get(self, params: Form, object_id: str) -> Object:
        """Answer one refund.

        `failure_balance_transaction` may always be expanded, though only a failed refund has it.
        """
        refund = self.getter("refund")({}, object_id)
        refuse_unknown(params, {"expand"})
        paths = [path for path in params.get("expand", []) if path != "failure_balance_transaction" or path in refund]
        return self.expanded(refund, paths)

    def list_refunds(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"payment_intent", "charge"})
        return self.page("refund", "/v1/refunds", params, ("payment_intent", "charge"))

    def list_charges(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"payment_intent", "customer"})
        return self.page("charge", "/v1/charges", params, ("payment_intent", "customer"))

    def succeed(self, refund_id: str) -> None:
        """Let the bank accept a pending refund."""
        refund = self._open(refund_id, ("pending",))
        refund |= {"status": "succeeded", "_later": ""}
        self._announce(refund)

    def fail(self, refund_id: str, reason: str = "lost_or_stolen_card") -> None:
        """Let the bank return a refund, also one that had succeeded. The money is on our balance again."""
        refund = self._open(refund_id, ("pending", "succeeded"))
        refund |= {"status": "failed", "failure_reason": reason, "_later": ""}
        refund["failure_balance_transaction"] = self._book(refund, "refund_failure", "refund_failure", refund["amount"])
        charge: Object = self.store.get(refund["charge"], "charge") or {}
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        self.store.put(charge)
        self._announce(refund)
        self.emitter.changed("refund.failed", refund)

    def pass_time(self) -> None:
        """Carry out what the cards' test numbers say, once LATER_S has passed."""
        for refund in list(self.store.newest("refund")):
            if refund["_later"] and refund["created"] + LATER_S <= self.now():
                self.fail(refund["id"]) if refund["_later"] == "failed" else self.succeed(refund["id"])

    def _charge(self, params: Form) -> Object:
        """Return the paid charge to refund. Raises ApiError if there is none or its bank has taken the money back."""
        intent_id, charge_id = params.get("payment_intent"), params.get("charge")
        if not (intent_id or charge_id):
            raise parameter_missing("payment_intent")
        if intent_id:
            intent = self.store.get(intent_id, "payment_intent")
            if intent is None:
                raise missing(intent_id, "payment_intent")
            charge_id = intent["latest_charge"] or ""
        charge = self.store.get(str(charge_id), "charge")
        if charge is None or not charge["paid"]:
            raise ApiError(400, "This PaymentIntent does not have a successful charge to refund.")
        if charge["disputed"]:
            raise ApiError(
                400, f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
            )
        return charge

    def _amount(self, params: Form, charge: Object) -> int:
        refundable = charge["amount"] - charge["amount_refunded"]
        if not refundable:
            raise ApiError(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
        amount = int(params.get("amount", refundable))
        if not 0 < amount <= refundable:
            raise ApiError(
                400, f"Refund amount ({amount}) is greater than what is left ({refundable}).", param="amount"
            )
        return amount

    def _open(self, refund_id: str, states: tuple[str, ...]) -> Object:
        refund = self.store.get(refund_id, "refund")
        if refund is None or refund["status"] not in states:
            raise ApiError(400, "This refund cannot change any more.")
        return refund

    def _book(self, refund: Object, kind: str, category: str, amount: int) -> str:
        movement = refund_dispute_objects.movement(
            self.store.new_id("txn"),
            self.now(),
            kind=kind,
            category=category,
            amount=amount,
            fee=0,
            currency=refund["currency"],
            source=refund["id"],
        )
        return str(self.store.put(movement)["id"])

    def _announce(self, refund: Object) -> None:
        self.emitter.changed("refund.updated", refund)
        self.emitter.changed("charge.refund.updated", refund)
