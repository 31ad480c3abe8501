"""Customers, Checkout sessions, charges, balance transactions and events: what a top-up by card needs of the API."""

from typing import Any

from marketplace.local.fake_stripe import objects
from marketplace.local.fake_stripe.errors import ApiError, parameter_missing
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.section import METADATA_QUERY, PAGE, Route, Section, refuse_unknown


class Resources(Section):
    """The API's routes for customers, Checkout sessions, charges, balance transactions and events."""

    def make_routes(self) -> list[Route]:
        return [
            ("POST", r"/v1/customers", self.create_customer),
            ("GET", r"/v1/customers/search", self.search_customers),
            ("POST", r"/v1/checkout/sessions", self.create_session),
            ("GET", r"/v1/checkout/sessions", self.list_sessions),
            ("GET", r"/v1/checkout/sessions/(?P<object_id>\w+)", self.getter("checkout.session")),
            ("GET", r"/v1/charges/(?P<object_id>\w+)", self.getter("charge")),
            ("GET", r"/v1/balance_transactions", self.list_balance),
            ("GET", r"/v1/events", self.list_events),
        ]

    def create_customer(self, params: Form) -> Object:
        refuse_unknown(params, {"name", "email", "metadata"})
        customer = objects.customer(
            self.store.new_id("cus"),
            self.now(),
            name=params.get("name", ""),
            email=params.get("email"),
            metadata=params.get("metadata", {}),
        )
        return self.emitter.changed("customer.created", customer)

    def search_customers(self, params: Form) -> Object:
        refuse_unknown(params, {"query", "limit", "page"})
        query = METADATA_QUERY.fullmatch(params.get("query", ""))
        if query is None:
            raise ApiError(400, "We were unable to parse your search query.", param="query")
        name, value = query.groups()
        matches = [row for row in self.store.newest("customer") if row["metadata"].get(name) == value]
        page = matches[: int(params.get("limit", 10))]
        return {
            "object": "search_result",
            "url": "/v1/customers/search",
            "data": page,
            "next_page": None,
            "has_more": len(matches) > len(page),
        }

    def create_session(self, params: Form) -> Object:
        refuse_unknown(
            params,
            {
                "mode",
                "ui_mode",
                "customer",
                "client_reference_id",
                "line_items",
                "adaptive_pricing",
                "metadata",
                "payment_intent_data",
                "setup_intent_data",
                "currency",
                "success_url",
                "cancel_url",
            },
        )
        if params.get("mode") not in ("payment", "setup") or params.get("ui_mode") != "hosted_page":
            raise ApiError(
                400, "This fake supports only hosted pages that take one payment or save a card.", param="mode"
            )
        is_setup = params["mode"] == "setup"
        for name in ("currency" if is_setup else "line_items", "success_url"):
            if not params.get(name):
                raise parameter_missing(name)
        customer_id = params.get("customer")
        if customer_id and self.store.get(customer_id, "customer") is None:
            raise ApiError(400, f"No such customer: '{customer_id}'", code="resource_missing", param="customer")
        amount, currency, name = (None, params["currency"], "Save a card") if is_setup else _total(params["line_items"])
        data = params.get("setup_intent_data" if is_setup else "payment_intent_data", {})
        session_id = self.store.new_id("cs_test")
        session = objects.session(
            session_id,
            self.now(),
            url=f"{self.base_url}/c/pay/{session_id}",
            amount=amount,
            currency=currency,
            customer_id=customer_id,
            reference=params.get("client_reference_id"),
            metadata=params.get("metadata", {}),
            intent_metadata=data.get("metadata", {}),
            name=name,
            future_usage=data.get("setup_future_usage"),
            success_url=params["success_url"],
            cancel_url=params.get("cancel_url"),
        )
        if is_setup:
            session |= {"mode": "setup", "payment_status": "no_payment_required", "payment_method_collection": "always"}
            session["total_details"] = None
        return self.store.put(session)

    def list_sessions(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"customer", "payment_intent", "status"})
        self.payments.expire_old()
        return self.page("checkout.session", "/v1/checkout/sessions", params, ("customer", "payment_intent", "status"))

    def list_balance(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"type", "currency"})
        return self.page("balance_transaction", "/v1/balance_transactions", params, ("type", "currency"))

    def list_events(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"type"})
        return self.page("event", "/v1/events", params, ("type",))


def _total(line_items: Any) -> tuple[int, str, str]:
    """Return amount (minor units), currency and name of the only line item. Raises ApiError for anything else."""
    try:
        (line,) = line_items
        price = line["price_data"]
        amount = int(price["unit_amount"]) * int(line.get("quantity", 1))
        total = amount, price["currency"], price["product_data"]["name"]
    except (KeyError, TypeError, ValueError) as error:
        raise ApiError(400, "Invalid line item.", param="line_items") from error
    if not 50 <= amount <= 99_999_999:
        raise ApiError(400, "The amount is out of range.", code="amount_too_small", param="line_items")
    return total
