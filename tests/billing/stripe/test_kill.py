"""The outbox with real processes: the fake as a server, webhooks over HTTP, and a worker killed with SIGKILL."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection

from billing.ledger import posting
from billing.models import StripeCommand, StripeEvent
from billing.stripe import inbox, outbox
from billing.wallet import wallets
from marketplace.local.embedded import REPOSITORY
from tests.billing.helpers import make_organization
from tests.billing.topups.helpers import ask
from tests.conformance.process import SECRET, fake_server
from tests.waiting import PATIENCE_S, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
# A worker that kills itself between Stripe's answer and our commit, at its n-th command.
WORKER = """
import os, signal, sys
import django
django.setup()
from tests.conformance import workers
workers.guard()
from billing.stripe import outbox
settle, left = outbox._settle, [int(sys.argv[1])]
def dying(command, sent):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    settle(command, sent)
outbox._settle = dying
outbox.HEAD_START = outbox.HEAD_START * 0
outbox.LEASE = outbox.LEASE * 1000  # what it claimed when it died is still its own when the test checks
outbox.send_due()
"""


@pytest.fixture
def server(tmp_path: Path, live_server: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the fake in a process of its own, which sends every event twice. Yield its address."""
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    options = ("--webhook-url", f"{live_server.url}/stripe/webhook", "--copies", "2")
    with fake_server(tmp_path, settings, monkeypatch, *options) as base:
        yield base


def worker(base: str, dies_at: int) -> int:
    """Run a worker against the test's database and return its exit code."""
    name = connection.settings_dict["NAME"]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "DATABASE_URL": re.sub(r"/[^/?]+(\?|$)", rf"/{name}\1", os.environ["DATABASE_URL"], count=1),
        "STRIPE_SECRET_KEY": "sk_test_fake_kill",
        "STRIPE_API_BASE": base,
        "STRIPE_WEBHOOK_SECRETS": SECRET,
    }
    return subprocess.run(
        [sys.executable, "-c", WORKER, str(dies_at)],
        env=environment,
        cwd=REPOSITORY,
        timeout=5 * PATIENCE_S,
        check=False,
    ).returncode


def now_due() -> None:
    StripeCommand.objects.filter(status="queued").update(due_at="2020-01-01T00:00Z")


def test_a_worker_killed_between_call_and_commit_loses_and_doubles_nothing(server: str):
    organization = make_organization()
    top_up = ask(organization)
    now_due()
    assert worker(server, dies_at=2) == -signal.SIGKILL
    left = StripeCommand.objects.get(status="queued")
    assert (left.kind, left.outcome_unknown, left.attempts) == ("create_checkout_session", True, 1)
    assert outbox.send_due() == 0
    now_due()
    assert outbox.send_due() == 1
    top_up.refresh_from_db()
    assert top_up.status == "open"
    listing = httpx.get(
        f"{server}/v1/checkout/sessions",
        headers={"Authorization": "Bearer sk_test_fake_kill"},
        trust_env=False,
        timeout=PATIENCE_S,
    ).json()
    assert [session["id"] for session in listing["data"]] == [top_up.session_id]
    # The customer pays on the page; its webhooks come over HTTP, each twice.
    answer = httpx.post(top_up.checkout_url, data={"number": "4242424242424242"}, trust_env=False, timeout=PATIENCE_S)
    assert (answer.status_code, top_up.site_url in answer.headers["Location"]) == (303, True)
    paid = StripeEvent.objects.filter(type="checkout.session.completed")
    until(paid.exists, what="the webhook of the payment")
    inbox.process_due()
    assert wallets.summary(organization).balance_micro == 50_000_000
    assert posting.recompute() == []
