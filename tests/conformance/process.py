"""The fake Stripe in a process of its own, for tests that kill workers: what it did survives them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe as sdk

from marketplace.local.embedded import REPOSITORY
from marketplace.local.embedded.process import free_port, spawn, wait_ready
from tests.conformance import sdk_types
from tests.conformance.transport import GuardedTransport, to_server
from tests.waiting import PATIENCE_S

SECRET = "whsec_kill"
API_KEY = "sk_test_fake_kill"


@contextmanager
def fake_server(folder: Path, settings: Any, patch: pytest.MonkeyPatch, *options: str) -> Iterator[str]:
    """Run the fake with these options of its command, point the site at it, and yield its address.

    The process ends with the block. Its answers are held to the SDK's types, as in the fixture `stripe`.
    """
    port = free_port()
    base, log = f"http://127.0.0.1:{port}", folder / "fake.log"
    command = [sys.executable, "-m", "marketplace.local.fake_stripe", "--port", str(port)]
    process = spawn(
        [*command, "--data", str(folder / "fake.sqlite"), *options],
        log_path=log,
        environment=os.environ | {"FAKE_STRIPE_WEBHOOK_SECRET": SECRET},
        cwd=REPOSITORY,
    )
    wait_ready("fake", process, lambda: _answers(base), log_path=log)
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = API_KEY, base
    transport = GuardedTransport(to_server(sdk.RequestsClient(timeout=PATIENCE_S)))
    patch.setattr("billing.stripe.gateway.client.http_client", lambda: transport)
    with sdk_types.installed(patch):
        yield base
    process.terminate()
    process.wait(PATIENCE_S)


def _answers(base: str) -> bool:
    try:
        return httpx.get(base, trust_env=False, timeout=PATIENCE_S).status_code == 200
    except httpx.HTTPError:
        return False
