"""The customer of benchmarks.withdrawal: a refused order ends the run with its reason.

A server that cannot be reached is asked again.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from benchmarks.withdrawal.load import REFUSED, Load, LoadProcess, Orders
from marketplace.local.demo import funding
from marketplace.local.demo.customer import ApiError
from marketplace.local.embedded.process import EmbeddedError

ENDS_S = 300


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(402)
        self.end_headers()
        self.wfile.write(b'{"code": "insufficient_funds"}')

    def log_message(self, *_: object) -> None:
        pass


def orders(url: str = "http://127.0.0.1:1") -> Orders:
    return Orders(url, "key", "model", unit_items=1, backlog=1, requests_per_s=1, pollers=0)


@pytest.fixture
def refusing_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_refusal_ends_the_load_and_the_benchmark_says_why(refusing_url: str, tmp_path: Path) -> None:
    with LoadProcess(orders(refusing_url), tmp_path / "load.log") as load:
        assert load.process.wait(ENDS_S) == REFUSED
        with pytest.raises(EmbeddedError, match=r"402.*insufficient_funds"):
            load.check()
        with pytest.raises(EmbeddedError, match=r"402.*insufficient_funds"):
            load.end()


@pytest.mark.parametrize("error", [ApiError("away", 503), httpx.ConnectError("away")])
def test_a_server_that_is_away_is_asked_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(customer: object) -> None:
        raise error

    load = Load(orders())
    monkeypatch.setattr(funding, "top_up", away)
    load._order_if_low(None)
    assert load.tally.errors == 1
