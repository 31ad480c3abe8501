"""The base of every part of the API: get one object, list a kind, expand references, refuse unknown parameters."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from marketplace.local.fake_stripe.emitter import Emitter
from marketplace.local.fake_stripe.errors import ApiError, missing, unknown_parameter
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.payments import Payments

Handler = Callable[..., Object]
Route = tuple[str, str, Handler]  # method, pattern of the path, handler(params, **groups)
PAGE = {"created", "limit", "starting_after", "ending_before", "expand"}
METADATA_QUERY = re.compile(r"metadata\['(\w+)'\]:'([^']*)'")


class Section:
    """A part of the API with its `routes`. A handler's `params` are the decoded form, query or JSON."""

    def __init__(self, emitter: Emitter, payments: Payments, base_url: str) -> None:
        self.emitter, self.payments, self.base_url = emitter, payments, base_url
        self.store, self.now = emitter.store, emitter.now
        self.routes: list[Route] = self.make_routes()

    def make_routes(self) -> list[Route]:
        """Return the routes as (HTTP method, pattern of the path, handler)."""
        raise NotImplementedError

    def getter(self, kind: str) -> Handler:
        """Return a handler that answers one object of a kind, or 404."""

        def get(params: Form, object_id: str) -> Object:
            refuse_unknown(params, {"expand"})
            self.payments.expire_old()
            item = self.store.get(object_id, kind)
            if item is None or not self.is_here(item):
                raise missing(object_id, kind)
            return self.expanded(item, params.get("expand", []))

        return get

    def is_here(self, item: Object) -> bool:
        """Return whether an object belongs to the account of this request. An account sees only its own objects."""
        return bool(item.get("_account", "") == self.emitter.account)

    def page(self, kind: str, url: str, params: Form, filters: Iterable[str]) -> Object:
        """Return a list as Stripe pages it: newest first, beginning after the object `starting_after`."""
        filtered = {name: params[name] for name in filters if name in params}
        rows = [
            row
            for row in self.store.newest(kind)
            if _in_span(row["created"], params.get("created")) and filtered.items() <= row.items() and self.is_here(row)
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
        data = [self.expanded(row, paths) for row in rows[:limit]]
        return {"object": "list", "url": url, "has_more": len(rows) > limit, "data": data}

    def expanded(self, item: Object, paths: Iterable[str]) -> Object:
        """Replace the references at these paths by the objects that they point to. Raises ApiError for a wrong path."""
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


def refuse_unknown(params: Form, known: set[str]) -> None:
    """Raise ApiError for a parameter that is not known, as Stripe does."""
    for name in params.keys() - known:
        raise unknown_parameter(name)


def _in_span(created: int, span: Any) -> bool:
    """Return whether a time (Unix seconds) lies in a `created` filter: a number, or gt, gte, lt and lte."""
    if span is None:
        return True
    if not isinstance(span, dict):
        return created == int(span)
    comparisons = {"gt": created.__gt__, "gte": created.__ge__, "lt": created.__lt__, "lte": created.__le__}
    return all(comparisons[name](int(value)) for name, value in span.items())
