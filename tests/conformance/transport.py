"""The HTTP client that the SDK uses in tests: it checks every request and answer, and can inject faults."""

from collections.abc import Callable, Mapping
from typing import Any

import stripe

from marketplace.local.fake_stripe import FakeStripe
from tests.conformance import wire

Answer = tuple[str, int, Mapping[str, str]]
Send = Callable[[str, str, Mapping[str, str], str], Answer]


class GuardedTransport(stripe.HTTPClient):
    """An HTTP client that applies the next of `faults` to each request.

    "refused" and "busy": Stripe does nothing and says so. "broken": Stripe does nothing, but its error leaves that
    open. "lost": Stripe does it, and the answer gets lost. `before` and `after` are called around each request.
    """

    name = "guarded"

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.send = send
        self.faults: list[str] = []
        self.requests: list[tuple[str, str, str]] = []  # method, path, idempotency key
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: Any) -> Answer:
        body = post_data or ""
        operation = wire.check_request(method, url, headers, body)
        self.requests.append((method.upper(), url.split("?")[0], headers.get("Idempotency-Key", "")))
        fault = self.faults.pop(0) if self.faults else ""
        self.before()
        if fault == "refused":
            return '{"error": {"type": "invalid_request_error", "message": "no"}}', 400, {}
        if fault == "busy":
            return '{"error": {"type": "invalid_request_error", "message": "slower", "code": "rate_limit"}}', 429, {}
        if fault == "broken":
            return '{"error": {"type": "api_error", "message": "oops"}}', 500, {}
        text, status, answer_headers = self.send(method, url, headers, body)
        self.after()
        if fault == "lost":
            raise stripe.APIConnectionError("the answer got lost")
        wire.check_answer(operation, status, text)
        return text, status, answer_headers


def to_fake(fake: FakeStripe) -> Send:
    """Return a function that calls the fake directly, without a server."""

    def send(method: str, url: str, headers: Mapping[str, str], body: str) -> Answer:
        names = {name.lower(): value for name, value in headers.items()}
        answer = fake.handle(method.upper(), url, names, body)
        return answer.body, answer.status, answer.headers

    return send


def to_server(client: Any) -> Send:
    """Return a function that sends requests over a real connection."""

    def send(method: str, url: str, headers: Mapping[str, str], body: str) -> Answer:
        content, status, answer_headers = client.request(method, url, headers, body or None)
        return content.decode(), status, answer_headers

    return send
