"""The fake's API as a function from a request to a response. The server and the tests both call it."""

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

from marketplace.local.fake_stripe.disputes import Disputes
from marketplace.local.fake_stripe.emitter import Emitter
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.forms import decode
from marketplace.local.fake_stripe.objects import public
from marketplace.local.fake_stripe.off_session import OffSession
from marketplace.local.fake_stripe.payee_accounts import PayeeAccounts
from marketplace.local.fake_stripe.payments import Payments
from marketplace.local.fake_stripe.platform_payouts import PlatformPayouts
from marketplace.local.fake_stripe.refunds import Refunds
from marketplace.local.fake_stripe.resources import Resources
from marketplace.local.fake_stripe.saved_cards import SavedCards
from marketplace.local.fake_stripe.section import Section
from marketplace.local.fake_stripe.store import Store
from marketplace.local.fake_stripe.transfers import Transfers

KEY_PREFIX = "sk_test_fake"
SECTIONS: list[type[Section]] = [
    Resources,
    PayeeAccounts,
    Transfers,
    PlatformPayouts,
    SavedCards,
    OffSession,
    Refunds,
    Disputes,
]


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

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
        """Return the response to a request. Header names are lower case."""
        request_id = f"req_fake{secrets.token_hex(7)}"
        with self.lock:
            try:
                self._check_key(headers.get("authorization", ""))
                self.emitter.account = headers.get("stripe-account", "")
                status, text, replayed = self._once(method, url, headers.get("idempotency-key"), body, request_id)
            except ApiError as error:
                error_body = error.body_v2 if urlsplit(url).path.startswith("/v2/") else error.body
                status, text, replayed = error.status, json.dumps(error_body), False
        extra_headers = {"Idempotent-Replayed": "true"} if replayed else {}
        return Answer(status, text, {"Request-Id": request_id, "Content-Type": "application/json", **extra_headers})

    def _check_key(self, authorization: str) -> None:
        if not authorization.removeprefix("Bearer ").startswith(KEY_PREFIX):
            raise ApiError(
                401, f"This is a fake: it accepts only keys that begin with {KEY_PREFIX}.", code="api_key_invalid"
            )

    def _once(self, method: str, url: str, key: str | None, body: str, request_id: str) -> tuple[int, str, bool]:
        """Handle a request and return (status, body, whether it is a replay).

        A POST with an idempotency key is carried out once: the same request gets the stored response, a different one
        is refused.
        """
        parts = urlsplit(url)
        params = _params(method, parts.path, parts.query, body)
        request = json.dumps([method, parts.path, params], sort_keys=True)
        fingerprint = hashlib.sha256(request.encode()).hexdigest()
        remembered = self.store.answer(key) if key and method == "POST" else None
        if remembered and remembered[0] != fingerprint:
            raise ApiError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with.",
                kind="idempotency_error",
            )
        if remembered:
            return remembered[1], remembered[2], True
        self.emitter.request = (request_id, key)
        try:
            status, answer = 200, self._route(method, parts.path, params)
        except ApiError as error:
            if error.status != 402 and not error.began:  # refused before it began to act: the key can be used again
                raise
            status, answer = error.status, error.body
        text = json.dumps(public(answer))
        if key and method == "POST":
            self.store.remember(key, fingerprint, status, text)
        self.emitter.request = (None, None)
        return status, text, False

    def _route(self, method: str, path: str, params: dict[str, Any]) -> dict[str, Any]:
        for section in self.sections:
            for known_method, pattern, handler in section.routes:
                match = re.fullmatch(pattern, path)
                if match and method == known_method:
                    return handler(params, **match.groupdict())
        raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")


def _params(method: str, path: str, query: str, body: str) -> dict[str, Any]:
    """Return a request's parameters: of the query for a GET, otherwise of the form, or of the JSON body in API v2."""
    if method == "GET":
        return decode(query)
    if not path.startswith("/v2/"):
        return decode(body)
    try:
        params = json.loads(body or "{}")
    except ValueError as error:
        raise ApiError(400, "The body is not JSON.", code="invalid_json") from error
    if not isinstance(params, dict):
        raise ApiError(400, "The body is not an object.", code="invalid_json")
    return params
