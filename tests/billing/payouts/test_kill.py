"""Workers are killed with SIGKILL while they pay: no transfer is made twice or lost. DRIVEWAY_KILLS=100 runs longer."""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection

from billing.models import Payout, StripeCommand
from billing.payouts import accounts as connected_accounts
from billing.payouts import payouts
from billing.stripe import outbox
from marketplace.local.embedded import REPOSITORY
from tests import factories
from tests.billing.payouts.helpers import balance, begin, differences, make_payout
from tests.conformance.process import API_KEY, fake_server
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
KILLS = int(os.environ.get("DRIVEWAY_KILLS", "1"))
KEY = {"Authorization": f"Bearer {API_KEY}"}
# A worker that kills itself with SIGKILL at its n-th command: after Stripe's answer ("answer"), in the transaction that
# books the answer just before the commit ("commit"), just after the commit ("done"), or before anything is sent
# ("claimed").
WORKER = """
import os, signal, sys
import django
django.setup()
from tests.conformance import workers
workers.guard()
from billing.payouts import payouts
from billing.stripe import outbox
point, left = sys.argv[1], [int(sys.argv[2])]
def dying(work):
    def replacement(*arguments, **named):
        left[0] -= 1
        if left[0]:
            return work(*arguments, **named)
        if point in ("commit", "done"):
            work(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    return replacement
name = {"answer": "_settle", "commit": "transition", "done": "_settle", "claimed": "_work"}[point]
setattr(outbox, name, dying(getattr(outbox, name)))
payouts.send_due()
outbox.send_due()
"""
POINTS = ("answer", "commit", "claimed", "done")


@pytest.fixture
def server(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the fake in a process of its own, whose webhooks never arrive. Yield its address."""
    options = ("--webhook-url", "http://127.0.0.1:9/none", "--lost-permille", "1000")
    with fake_server(tmp_path, settings, monkeypatch, *options) as base:
        yield base


def worker(base: str, point: str, dies_at: int) -> int:
    """Run a worker against the test's database, and return its exit code."""
    name = connection.settings_dict["NAME"]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "LOG_LEVEL": "ERROR",
        "DATABASE_URL": re.sub(r"/[^/?]+(\?|$)", rf"/{name}\1", os.environ["DATABASE_URL"], count=1),
        "STRIPE_SECRET_KEY": "sk_test_fake_kill",
        "STRIPE_API_BASE": base,
        "STRIPE_WEBHOOK_SECRETS": "whsec_kill",
    }
    return subprocess.run(
        [sys.executable, "-c", WORKER, point, str(dies_at)],
        env=environment,
        cwd=REPOSITORY,
        timeout=5 * PATIENCE_S,
        check=False,
    ).returncode


def onboarded(base: str) -> Any:
    """Return an owner who has filled in Stripe's page."""
    account = begin(factories.make_owner())
    page = connected_accounts.onboarding_url(account=account, return_url=f"{base}/", refresh_url=f"{base}/x")
    form = {"name": "A", "bank": "000123456789", "outcome": "ready"}
    assert httpx.post(page, data=form, trust_env=False, timeout=PATIENCE_S).status_code == 303
    assert connected_accounts.refresh(account=account).status == "active"
    return account.owner


def fund(base: str, payments: int) -> None:
    """Have customers pay so many times 500.00 on Stripe's page."""
    line = {
        "line_items[0][price_data][unit_amount]": "50000",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][product_data][name]": "Wallet",
    }
    for _ in range(payments):
        session = httpx.post(
            f"{base}/v1/checkout/sessions",
            headers=KEY,
            trust_env=False,
            timeout=PATIENCE_S,
            data={"mode": "payment", "ui_mode": "hosted_page", "success_url": base, **line},
        ).json()
        httpx.post(session["url"], data={"number": "4242424242424242"}, trust_env=False, timeout=PATIENCE_S)


def listed(base: str) -> list[dict[str, Any]]:
    """Return every transfer that Stripe made."""
    found, more = [], True
    while more:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        page = httpx.get(
            f"{base}/v1/transfers?limit=100{after}", headers=KEY, trust_env=False, timeout=PATIENCE_S
        ).json()
        found, more = found + page["data"], page["has_more"]
    return found


def make_commands_due() -> None:
    StripeCommand.objects.filter(status="queued").update(due_at="2020-01-01T00:00Z")


def test_workers_killed_while_they_pay_lose_and_double_nothing(server: str):
    dice, killed, began = random.Random(KILLS), dict.fromkeys(POINTS, 0), time.monotonic()
    fund(server, payments=1 + KILLS // 4)
    owners = [onboarded(server) for _ in range(min(3, KILLS))]
    for kill in itertools.count():
        if sum(killed.values()) == KILLS:
            break
        for owner in owners[: dice.randint(1, 3)]:
            make_payout(owner, dice.randint(1, 3000) * 10_000)
        point = POINTS[kill % len(POINTS)]
        make_commands_due()
        code = worker(server, point, dies_at=dice.randint(1, 2) if kill % 3 else 1)
        killed[point] += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL)  # a worker with fewer commands than `dies_at` ends by itself
    unknown = StripeCommand.objects.filter(status="queued", outcome_unknown=True).count()
    for _ in range(3):
        make_commands_due()
        payouts.send_due()
        outbox.send_due()
    rows = list(Payout.objects.select_related("account"))
    transfers = listed(server)
    print(
        f"\n{sum(killed.values())} workers killed {killed} in {time.monotonic() - began:.0f} s; {unknown} commands with"
        f" an unknown outcome at the end; {len(rows)} payouts, {len(transfers)} transfers at Stripe,"
        f" {len({row['metadata']['payout'] for row in transfers})} of them different"
    )
    assert {row.status for row in rows} == {"paid"}
    assert sorted(
        (row["metadata"]["payout"], row["id"], row["amount"] * 10_000, row["destination"]) for row in transfers
    ) == sorted((str(row.public_id), row.stripe_transfer_id, row.amount_micro, row.account.stripe_id) for row in rows)
    assert [balance(owner, "in_transit") for owner in owners] == [0] * len(owners)
    assert differences() == []
