"""The API as a function: a request in, an answer out. A server and the tests both call it."""

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from billing.fake_stripe.disputes import Disputes
from billing.fake_stripe.emitter import Emitter
from billing.fake_stripe.errors import ApiError
from billing.fake_stripe.forms import decode
from billing.fake_stripe.objects import public
from billing.fake_stripe.payments import Payments
from billing.fake_stripe.refunds import Refunds
from billing.fake_stripe.resources import Resources
from billing.fake_stripe.section import Section
from billing.fake_stripe.store import Store

KEY_PREFIX = "sk_test_fake"
SECTIONS: list[type[Section]] = [
    Resources,
    Refunds,
    Disputes,
]


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    headers: Mapping[str, str]


class FakeStripe:
    """Stripe's API over one store. Safe to call from several threads."""

    def __init__(
        self,
        path: str = ":memory:",
        *,
        base_url: str = "http://fake-stripe.test",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = Store(path)
        self.emitter = Emitter(self.store, clock)
        self.payments = Payments(self.emitter)
        self.sections = [section(self.emitter, self.payments, base_url) for section in SECTIONS]
        self.lock = threading.Lock()

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: str = "") -> Answer:
        """Answer a request. Headers by their lower-case names."""
        request_id = f"req_fake{secrets.token_hex(7)}"
        with self.lock:
            try:
                self._check_key(headers.get("authorization", ""))
                status, text, replayed = self._once(method, url, headers.get("idempotency-key"), body, request_id)
            except ApiError as error:
                status, text, replayed = error.status, json.dumps(error.body), False
        more = {"Idempotent-Replayed": "true"} if replayed else {}
        return Answer(status, text, {"Request-Id": request_id, "Content-Type": "application/json", **more})

    def _check_key(self, authorization: str) -> None:
        if not authorization.removeprefix("Bearer ").startswith(KEY_PREFIX):
            raise ApiError(401, f"This is a fake: it takes no key but {KEY_PREFIX}...", code="api_key_invalid")

    def _once(self, method: str, url: str, key: str | None, body: str, request_id: str) -> tuple[int, str, bool]:
        """A POST under a key is done once: the same again gets the same answer, another one is refused."""
        parts = urlsplit(url)
        params = decode(parts.query if method == "GET" else body)
        same = json.dumps([method, parts.path, params], sort_keys=True)
        fingerprint = hashlib.sha256(same.encode()).hexdigest()
        known = self.store.answer(key) if key and method == "POST" else None
        if known and known[0] != fingerprint:
            raise ApiError(
                400, "Keys for idempotent requests can only be used with the same parameters they were first used with.",
                kind="idempotency_error",
            )  # fmt: skip
        if known:
            return known[1], known[2], True
        self.emitter.request = (request_id, key)
        answer = self._route(method, parts.path, params)
        text = json.dumps(public(answer))
        if key and method == "POST":
            self.store.remember(key, fingerprint, 200, text)
        self.emitter.request = (None, None)
        return 200, text, False

    def _route(self, method: str, path: str, params: dict[str, Any]) -> dict[str, Any]:
        for section in self.sections:
            for known_method, pattern, handler in section.routes:
                match = re.fullmatch(pattern, path)
                if match and method == known_method:
                    return handler(params, **match.groupdict())
        raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")
