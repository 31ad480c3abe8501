"""Disputes: a bank asks about a payment or takes it back, reads our evidence, and decides."""

from marketplace.local.fake_stripe import refund_dispute_objects
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.problem_card_numbers import DISPUTED, INQUIRED
from marketplace.local.fake_stripe.section import PAGE, Route, Section, refuse_unknown

FEE = 1500  # in minor units: Stripe's fee for each dispute, won or lost
TEXT_MAX = 20_000
WAITS = ("needs_response", "warning_needs_response")
OPEN = (*WAITS, "under_review", "warning_under_review")
# Evidence that decides a dispute at once, as in Stripe's test mode.
WORDS = {"winning_evidence": "won", "losing_evidence": "lost"}


class Disputes(Section):
    """The API's routes for disputes, and what a bank does with them."""

    def make_routes(self) -> list[Route]:
        self.payments.when_paid.append(self._by_number)
        return [
            ("GET", r"/v1/disputes", self.list_disputes),
            ("GET", r"/v1/disputes/(?P<object_id>\w+)", self.getter("dispute")),
            ("POST", r"/v1/disputes/(?P<object_id>\w+)", self.update),
        ]

    def list_disputes(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"payment_intent", "charge"})
        return self.page("dispute", "/v1/disputes", params, ("payment_intent", "charge"))

    def update(self, params: Form, object_id: str) -> Object:
        """Add evidence. It is submitted to the bank unless the request says `submit=false`."""
        refuse_unknown(params, {"evidence", "submit", "metadata", "expand"})
        dispute = self._get(object_id)
        evidence = params.get("evidence", {})
        refuse_unknown(
            evidence, {"uncategorized_text", "product_description", "customer_name", "refund_policy_disclosure"}
        )
        if dispute["status"] not in WAITS:
            raise ApiError(400, "This dispute takes no evidence now.", param="evidence")
        if any(len(text) > TEXT_MAX for text in evidence.values()):
            raise ApiError(400, f"Evidence is limited to {TEXT_MAX} characters.", param="evidence")
        dispute["evidence"] |= evidence
        dispute["metadata"] |= params.get("metadata", {})
        dispute["evidence_details"]["has_evidence"] = True
        submits = params.get("submit", "true") == "true"
        if submits:
            dispute["evidence_details"]["submission_count"] += 1
            dispute["status"] = "under_review" if dispute["status"] == "needs_response" else "warning_under_review"
        self.emitter.changed("charge.dispute.updated", dispute)
        outcome = WORDS.get(evidence.get("uncategorized_text", ""))
        if submits and outcome and dispute["status"] == "under_review":
            self.decide(object_id, won=outcome == "won")
        return self._get(object_id)

    def open(self, charge_id: str, *, inquiry: bool = False, reason: str = "fraudulent") -> str:
        """Let the cardholder complain to the bank. Return the dispute's id.

        With `inquiry` the bank only asks and takes no money. Raises ApiError if the charge was not paid or is disputed
        already.
        """
        charge = self.store.get(charge_id, "charge")
        if charge is None or not charge["paid"] or charge["disputed"]:
            raise ApiError(400, "This charge cannot be disputed.")
        status = "warning_needs_response" if inquiry else "needs_response"
        dispute = refund_dispute_objects.dispute(
            self.store.new_id("dp"), self.now(), of=charge, status=status, reason=reason
        )
        charge["disputed"] = True
        self.store.put(charge)
        self.emitter.changed("charge.dispute.created", dispute)
        if not inquiry:
            self._withdraw(dispute)
        return str(dispute["id"])

    def escalate(self, dispute_id: str) -> None:
        """Turn an inquiry into a dispute: the bank takes the money."""
        dispute = self._get(dispute_id)
        if not dispute["status"].startswith("warning_") or dispute["status"] == "warning_closed":
            raise ApiError(400, "This dispute is not an open inquiry.")
        dispute |= {"status": "needs_response", "is_charge_refundable": False}
        self.emitter.changed("charge.dispute.updated", dispute)
        self._withdraw(dispute)

    def decide(self, dispute_id: str, *, won: bool) -> None:
        """Let the bank decide. A lost dispute may be won afterwards, once, as if the bank had looked again."""
        dispute = self._get(dispute_id)
        is_inquiry = dispute["status"].startswith("warning_")
        if is_inquiry or dispute["status"] not in (*OPEN, *(["lost"] if won else [])):
            raise ApiError(400, "This dispute cannot be decided now.")
        dispute["status"] = "won" if won else "lost"
        if won:
            self._book(dispute, "dispute_reversal", dispute["amount"], fee=0)
            self.emitter.changed("charge.dispute.funds_reinstated", dispute)
        self.emitter.changed("charge.dispute.closed", dispute)

    def close_inquiry(self, dispute_id: str) -> None:
        """End an inquiry. Nothing was taken."""
        dispute = self._get(dispute_id)
        if dispute["status"] not in ("warning_needs_response", "warning_under_review"):
            raise ApiError(400, "This dispute is not an open inquiry.")
        dispute["status"] = "warning_closed"
        charge: Object = self.store.get(dispute["charge"], "charge") or {}
        charge["disputed"] = False
        self.store.put(charge)
        self.emitter.changed("charge.dispute.closed", dispute)

    def ask_again(self, dispute_id: str) -> None:
        """Let the bank ask for more evidence after it has read ours."""
        dispute = self._get(dispute_id)
        if dispute["status"] != "under_review":
            raise ApiError(400, "The bank is not reviewing evidence of this dispute.")
        dispute["status"] = "needs_response"
        self.emitter.changed("charge.dispute.updated", dispute)

    def _by_number(self, charge: Object) -> None:
        """Open a dispute or an inquiry if the card's test number says so."""
        number = self.payments.number_of(charge)
        if number in (DISPUTED, INQUIRED):
            self.open(charge["id"], inquiry=number == INQUIRED)

    def _withdraw(self, dispute: Object) -> None:
        self._book(dispute, "dispute", -dispute["amount"], fee=FEE)
        self.emitter.changed("charge.dispute.funds_withdrawn", dispute)

    def _book(self, dispute: Object, category: str, amount: int, *, fee: int) -> None:
        """Add a balance transaction to the dispute. As at Stripe, the list holds whole objects instead of ids."""
        movement = refund_dispute_objects.movement(
            self.store.new_id("txn"),
            self.now(),
            kind="adjustment",
            category=category,
            amount=amount,
            fee=fee,
            currency=dispute["currency"],
            source=dispute["id"],
        )
        dispute["balance_transactions"].append(self.store.put(movement))
        self.store.put(dispute)

    def _get(self, dispute_id: str) -> Object:
        dispute: Object = self.getter("dispute")({}, dispute_id)
        return dispute
