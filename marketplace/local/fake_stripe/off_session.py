"""Off-session payments: charge a saved card without a page, while the customer is not there."""

from typing import Any

from marketplace.local.fake_stripe import objects
from marketplace.local.fake_stripe.card_numbers import BANK_DEBIT, OFF_SESSION
from marketplace.local.fake_stripe.errors import ApiError, parameter_missing
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object, public
from marketplace.local.fake_stripe.section import METADATA_QUERY, PAGE, Route, Section, refuse_unknown

KNOWN = {
    "amount",
    "currency",
    "customer",
    "payment_method",
    "off_session",
    "confirm",
    "automatic_payment_methods",
    "description",
    "metadata",
    "expand",
}


class OffSession(Section):
    """The API's routes for payment intents."""

    def make_routes(self) -> list[Route]:
        return [
            ("POST", r"/v1/payment_intents", self.create),
            ("GET", r"/v1/payment_intents", self.list_intents),
            ("GET", r"/v1/payment_intents/search", self.search),
            ("GET", r"/v1/payment_intents/(?P<object_id>pi_\w+)", self.getter("payment_intent")),
        ]

    def create(self, params: Form) -> Object:
        """Charge a saved card at once. A decline is answered with 402 and the declined payment."""
        refuse_unknown(params, KNOWN)
        for name in ("amount", "currency"):
            if not params.get(name):
                raise parameter_missing(name)
        if (params.get("off_session"), params.get("confirm")) != ("true", "true"):
            raise ApiError(
                400, "This fake makes only payments with off_session=true and confirm=true.", param="off_session"
            )
        if params.get("automatic_payment_methods", {}).get("allow_redirects") != "never":
            raise ApiError(400, "You must provide a `return_url`, or allow no redirects.", param="return_url")
        if not 50 <= int(params["amount"]) <= 99_999_999:
            raise ApiError(400, "The amount is out of range.", code="amount_too_small", param="amount")
        return self.expanded(self._charge(self._intent(params)), params.get("expand", []))

    def _intent(self, params: Form) -> Object:
        """Create the payment intent. Raises ApiError if the payment method is not attached to the customer."""
        method = self.store.get(params.get("payment_method", ""), "payment_method")
        if method is None or not method["customer"] or method["customer"] != params.get("customer"):
            raise ApiError(
                400,
                f"No such PaymentMethod: '{params.get('payment_method')}'; it is not attached to that customer.",
                code="resource_missing",
                param="payment_method",
            )
        session = {
            "amount_total": int(params["amount"]),
            "currency": params["currency"],
            "customer": params["customer"],
            "_intent_metadata": params.get("metadata", {}),
            "_future_usage": None,
            "id": None,
        }
        intent = objects.payment_intent(self.store.new_id("pi"), self.now(), of=session)
        intent |= {
            "payment_method": method["id"],
            "description": params.get("description"),
            "_number": method["_number"],
        }
        return self.emitter.changed("payment_intent.created", intent)

    def _charge(self, intent: Object) -> Object:
        if intent["_number"] in OFF_SESSION:
            self.payments.decline(intent, *OFF_SESSION[intent["_number"]])
            raise _refused(intent)
        if intent["_number"] == BANK_DEBIT:
            self.payments.wait(intent)
        else:
            self.payments.take(intent)
        return intent

    def list_intents(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"customer"})
        return self.page("payment_intent", "/v1/payment_intents", params, ("customer",))

    def search(self, params: Form) -> Object:
        refuse_unknown(params, {"query", "limit", "page", "expand"})
        query = METADATA_QUERY.fullmatch(params.get("query", ""))
        if query is None:
            raise ApiError(400, "We were unable to parse your search query.", param="query")
        name, value = query.groups()
        matches = [row for row in self.store.newest("payment_intent") if row["metadata"].get(name) == value]
        page = matches[: int(params.get("limit", 10))]
        return {
            "object": "search_result",
            "url": "/v1/payment_intents/search",
            "data": page,
            "next_page": None,
            "has_more": len(matches) > len(page),
        }


def _refused(intent: Object) -> ApiError:
    """Return the error 402 with the reason and the declined payment."""
    reason: dict[str, Any] = intent["last_payment_error"]
    error = ApiError(402, reason["message"], kind="card_error", code=reason["code"])
    error.body["error"] |= {**reason, "payment_intent": public(intent)}
    return error
