"""The routes of the API that our gateway uses."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from billing.fake_stripe import objects
from billing.fake_stripe.emitter import Emitter
from billing.fake_stripe.errors import ApiError, missing, parameter_missing, unknown_parameter
from billing.fake_stripe.forms import Form
from billing.fake_stripe.objects import Object
from billing.fake_stripe.payments import Payments

Handler = Callable[..., Object]
PAGE = {"created", "limit", "starting_after", "ending_before", "expand"}
METADATA_QUERY = re.compile(r"metadata\['(\w+)'\]:'([^']*)'")


class Resources:
    """One method a route; `params` are the decoded form or query."""

    def __init__(self, emitter: Emitter, payments: Payments, base_url: str) -> None:
        self.emitter, self.payments, self.base_url = emitter, payments, base_url
        self.store, self.now = emitter.store, emitter.now
        self.routes: list[tuple[str, str, Handler]] = [
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
        _only(params, {"name", "email", "metadata"})
        made = objects.customer(
            self.store.new_id("cus"), self.now(), name=params.get("name", ""), email=params.get("email"),
            metadata=params.get("metadata", {}),
        )  # fmt: skip
        return self.emitter.changed("customer.created", made)

    def search_customers(self, params: Form) -> Object:
        _only(params, {"query", "limit", "page"})
        query = METADATA_QUERY.fullmatch(params.get("query", ""))
        if query is None:
            raise ApiError(400, "We were unable to parse your search query.", param="query")
        name, value = query.groups()
        found = [row for row in self.store.newest("customer") if row["metadata"].get(name) == value]
        shown = found[: int(params.get("limit", 10))]
        return {
            "object": "search_result", "url": "/v1/customers/search", "data": shown, "next_page": None,
            "has_more": len(found) > len(shown),
        }  # fmt: skip

    def create_session(self, params: Form) -> Object:
        _only(params, {
            "mode", "ui_mode", "customer", "client_reference_id", "line_items", "adaptive_pricing", "metadata",
            "payment_intent_data", "success_url", "cancel_url",
        })  # fmt: skip
        if params.get("mode") != "payment" or params.get("ui_mode") != "hosted_page":
            raise ApiError(400, "This fake knows only hosted pages that take one payment.", param="mode")
        for name in ("line_items", "success_url"):
            if not params.get(name):
                raise parameter_missing(name)
        customer_id = params.get("customer")
        if customer_id and self.store.get(customer_id, "customer") is None:
            raise ApiError(400, f"No such customer: '{customer_id}'", code="resource_missing", param="customer")
        amount, currency, name = _total(params["line_items"])
        session_id = self.store.new_id("cs_test")
        made = objects.session(
            session_id, self.now(), url=f"{self.base_url}/c/pay/{session_id}", amount=amount, currency=currency,
            customer_id=customer_id, reference=params.get("client_reference_id"), metadata=params.get("metadata", {}),
            intent_metadata=params.get("payment_intent_data", {}).get("metadata", {}), name=name,
            success_url=params["success_url"], cancel_url=params.get("cancel_url"),
        )  # fmt: skip
        return self.store.put(made)

    def list_sessions(self, params: Form) -> Object:
        _only(params, PAGE | {"customer", "payment_intent", "status"})
        self.payments.expire_old()
        return self._page("checkout.session", "/v1/checkout/sessions", params, ("customer", "payment_intent", "status"))

    def list_balance(self, params: Form) -> Object:
        _only(params, PAGE | {"type", "currency"})
        return self._page("balance_transaction", "/v1/balance_transactions", params, ("type", "currency"))

    def list_events(self, params: Form) -> Object:
        _only(params, PAGE | {"type"})
        return self._page("event", "/v1/events", params, ("type",))

    def getter(self, kind: str) -> Handler:
        def get(params: Form, object_id: str) -> Object:
            _only(params, {"expand"})
            self.payments.expire_old()
            found = self.store.get(object_id, kind)
            if found is None:
                raise missing(object_id, kind)
            return self._expanded(found, params.get("expand", []))

        return get

    def _page(self, kind: str, url: str, params: Form, filters: Iterable[str]) -> Object:
        """A list as Stripe pages it: newest first, from after the object that the last page ended with."""
        wanted = {name: params[name] for name in filters if name in params}
        rows = [
            row
            for row in self.store.newest(kind)
            if _in_span(row["created"], params.get("created")) and wanted.items() <= row.items()
        ]
        if after := params.get("starting_after"):
            ids = [row["id"] for row in rows]
            if after not in ids:
                raise missing(after, kind)
            rows = rows[ids.index(after) + 1 :]
        limit = int(params.get("limit", 10))
        if not 1 <= limit <= 100:
            raise ApiError(400, "Invalid integer: limit", param="limit")
        paths = [path.removeprefix("data.") for path in params.get("expand", [])]
        data = [self._expanded(row, paths) for row in rows[:limit]]
        return {"object": "list", "url": url, "has_more": len(rows) > limit, "data": data}

    def _expanded(self, item: Object, paths: Iterable[str]) -> Object:
        """With references replaced by what they point to."""
        for path in paths:
            node: Any = item
            for name in path.split("."):
                if not isinstance(node, dict) or name not in node:
                    raise ApiError(400, f"This property cannot be expanded ({path}).", param="expand")
                if isinstance(node[name], str):
                    node[name] = self.store.get(node[name])
                node = node[name]
                if node is None:
                    break
        return item


def _only(params: Form, known: set[str]) -> None:
    for name in params.keys() - known:
        raise unknown_parameter(name)


def _in_span(created: int, span: Any) -> bool:
    if span is None:
        return True
    if not isinstance(span, dict):
        return created == int(span)
    holds = {"gt": created.__gt__, "gte": created.__ge__, "lt": created.__lt__, "lte": created.__le__}
    return all(holds[name](int(value)) for name, value in span.items())


def _total(line_items: Any) -> tuple[int, str, str]:
    """Amount, currency and name of the only line."""
    try:
        (line,) = line_items
        price = line["price_data"]
        amount = int(price["unit_amount"]) * int(line.get("quantity", 1))
        found = amount, price["currency"], price["product_data"]["name"]
    except (KeyError, TypeError, ValueError) as error:
        raise ApiError(400, "Invalid line item.", param="line_items") from error
    if not 50 <= amount <= 99_999_999:
        raise ApiError(400, "The amount is out of range.", code="amount_too_small", param="line_items")
    return found
