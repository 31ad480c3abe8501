"""What every part of the API does alike: get one object, list a kind, expand references, refuse unknown parameters."""

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
    """A part of the API: its `routes`, each with a method; `params` are the decoded form, query or JSON."""

    def __init__(self, emitter: Emitter, payments: Payments, base_url: str) -> None:
        self.emitter, self.payments, self.base_url = emitter, payments, base_url
        self.store, self.now = emitter.store, emitter.now
        self.routes: list[Route] = self.make_routes()

    def make_routes(self) -> list[Route]:
        raise NotImplementedError

    def getter(self, kind: str) -> Handler:
        def get(params: Form, object_id: str) -> Object:
            only(params, {"expand"})
            self.payments.expire_old()
            found = self.store.get(object_id, kind)
            if found is None or not self.is_here(found):
                raise missing(object_id, kind)
            return self.expanded(found, params.get("expand", []))

        return get

    def is_here(self, item: Object) -> bool:
        """Each account sees its own objects only."""
        return bool(item.get("_account", "") == self.emitter.account)

    def page(self, kind: str, url: str, params: Form, filters: Iterable[str]) -> Object:
        """A list as Stripe pages it: newest first, from after the object that the last page ended with."""
        wanted = {name: params[name] for name in filters if name in params}
        rows = [
            row
            for row in self.store.newest(kind)
            if _in_span(row["created"], params.get("created")) and wanted.items() <= row.items() and self.is_here(row)
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


def only(params: Form, known: set[str]) -> None:
    """Stripe refuses parameters that it does not know."""
    for name in params.keys() - known:
        raise unknown_parameter(name)


def _in_span(created: int, span: Any) -> bool:
    if span is None:
        return True
    if not isinstance(span, dict):
        return created == int(span)
    holds = {"gt": created.__gt__, "gte": created.__ge__, "lt": created.__lt__, "lte": created.__le__}
    return all(holds[name](int(value)) for name, value in span.items())
