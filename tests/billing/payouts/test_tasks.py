"""Celery tasks of payouts: what beat runs, and that an unavailable or switched-off Stripe is no error of a task."""

import pytest

from billing import tasks
from billing.models import Payout
from billing.payouts import accounts as connected_accounts
from billing.payouts import final_payouts
from core.errors import Conflict
from marketplace.celery import app
from tests import factories
from tests.billing.payouts.helpers import become, begin, fund, make_payout, ready_owner
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


def test_payouts_are_sent_and_workers_woken(stripe: FakeWorld, sent_tasks, django_capture_on_commit_callbacks):
    fund(stripe)
    with django_capture_on_commit_callbacks(execute=True):
        owner = ready_owner(stripe)
    assert "billing.send_payouts" in sent_tasks  # an account became ready
    make_payout(owner)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.send_payouts()
    assert "billing.send_stripe_commands" in sent_tasks
    assert Payout.objects.get().status == "sending"
    assert {"billing.send_payouts", "billing.refresh_payees", "billing.refresh_due_payees"} <= {
        row["task"] for row in app.conf.beat_schedule.values()
    }


@pytest.mark.parametrize("key", ["sk_test_fake_tests", ""])
def test_stripe_away_or_switched_off(stripe: FakeWorld, settings, key: str):
    account = begin(factories.make_owner())
    make_payout(ready_owner(stripe))
    settings.STRIPE_SECRET_KEY = key
    stripe.transport.faults = ["busy"] * 9
    for task in (tasks.send_payouts, tasks.refresh_payees, tasks.refresh_due_payees):
        task()
    assert Payout.objects.get().status == "scheduled"
    account.refresh_from_db()
    assert account.status == "onboarding"


def test_a_last_payout_needs_somewhere_to_go(stripe: FakeWorld):
    owner = factories.make_owner()
    become(stripe, begin(owner), "pending")
    with pytest.raises(Conflict) as caught:
        final_payouts.start(owner=owner, actor=None)
    assert caught.value.code == "account_not_ready"
    assert connected_accounts.account_of(owner) is not None
