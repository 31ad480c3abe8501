"""The fake Stripe, so that topping up a wallet works on a machine without an account. See marketplace/local/fake_stripe."""

from __future__ import annotations

import secrets
import socket
import sys
from pathlib import Path

from marketplace.local.embedded.process import ANSWER_TIMEOUT_S
from marketplace.local.embedded.server import Server, State

REPOSITORY = Path(__file__).resolve().parents[3]


class Stripe(Server):
    """The fake on a loopback port, its objects in `<home>/stripe`. Its webhooks go to the site of the same home."""

    name = "stripe"
    title = "Fake Stripe"

    def prepare(self, state: State) -> list[str]:
        """Keep key and secret for the life of the home folder, so that a restart needs no new settings."""
        state.setdefault("key", f"sk_test_fake_{secrets.token_hex(12)}")
        state.setdefault("secret", f"whsec_{secrets.token_hex(16)}")
        return [
            *(sys.executable, "-m", "marketplace.local.fake_stripe", "--port", str(self.port(state))),
            *("--data", str(self.folder / "objects.sqlite"), "--web-port-file", str(self.run / "web.port")),
        ]

    def process_environment(self, state: State) -> dict[str, str]:
        """Return the secret and our code's path. Arguments would be readable by every user of the machine."""
        return {"FAKE_STRIPE_WEBHOOK_SECRET": state["secret"], "PYTHONPATH": str(REPOSITORY)}

    def is_ready(self, state: State) -> bool:
        """Return whether the fake answers HTTP."""
        try:
            with socket.create_connection(("127.0.0.1", state["port"]), timeout=ANSWER_TIMEOUT_S) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return connection.recv(12).endswith(b" 200")
        except OSError:
            return False

    def environment(self, state: State) -> dict[str, str]:
        """Return STRIPE_SECRET_KEY, and where and how the fake is reached."""
        base = f"http://127.0.0.1:{state['port']}"
        return {
            "STRIPE_SECRET_KEY": state["key"],
            "STRIPE_API_BASE": base,
            "STRIPE_CHECKOUT_ORIGIN": base,
            "STRIPE_WEBHOOK_SECRETS": state["secret"],
        }
