"""A status of Stripe's that we do not know: an error with a code for operators, and everything else continues."""

from dataclasses import replace
from typing import Any

import pytest

from billing.models import CardDispute, CardTopUp, StripeCommand, StripeEvent
from billing.stripe import gateway, inbox, outbox, sweeps
from tests.billing.helpers import sweep_money
from tests.billing.refunds.helpers import ask, balance, books, charge_of, customer, dispute_desk, pay, settle
from tests.billing.topups.helpers import start
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


class Invention:
    """Makes Stripe answer with an unknown status of refunds and disputes while `is_on`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.is_on = True
        for name in ("retrieve_refund", "create_refund", "find_refund", "retrieve_dispute"):
            patch.setattr(gateway, name, self.saying(getattr(gateway, name)))

    def saying(self, real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            answer = real(*args, **options)
            return replace(answer, status="reconsidered") if self.is_on and answer else answer

        return call


@pytest.fixture
def invention(monkeypatch: pytest.MonkeyPatch) -> Invention:
    return Invention(monkeypatch)


def test_of_a_dispute_stops_no_other_event(stripe: FakeWorld, invention: Invention):
    organization = customer()
    lot = pay(stripe, organization)
    dispute_desk(stripe).open(charge_of(stripe, lot))
    card_top_up = start(organization)
    stripe.pay(card_top_up)
    stripe.deliver_all()
    assert inbox.process_due() > 3
    assert CardTopUp.objects.get(pk=card_top_up.pk).status == "paid"
    dead = StripeEvent.objects.filter(type__startswith="charge.dispute")
    assert set(dead.values_list("status", "status_code")) == {("dead", "stripe_word_unknown")}
    sweeps.sweep_balance()
    assert sweep_money() == 1  # it does not stop a sweep either
    invention.is_on = False
    inbox.retry(event=dead.first(), actor=None)
    stripe.run()
    assert CardDispute.objects.get().withdrawn_at
    books(stripe)


def test_of_a_refund_leaves_it_to_be_looked_at_again(stripe: FakeWorld, invention: Invention):
    organization = customer()
    pay(stripe, organization)
    pay(stripe, organization)
    rows = ask(organization, 60_000_000)
    stripe.run()
    stripe.run()
    commands = StripeCommand.objects.filter(kind="create_refund")
    assert set(commands.values_list("status", "outcome_unknown", "attempts")) == {("queued", True, 2)}
    assert (len(rows), len(list(stripe.fake.store.newest("refund")))) == (2, 2)
    invention.is_on = False
    settle(stripe)
    assert set(commands.values_list("status", flat=True)) == {"done"}
    assert balance(organization) == 40_000_000
    books(stripe)


def test_a_fault_of_ours_stops_no_other(stripe: FakeWorld, monkeypatch: pytest.MonkeyPatch):
    """A command or event whose processing raises an unexpected error is retried when its lease has ended."""
    organization = customer()
    pay(stripe, organization)
    pay(stripe, organization)
    ask(organization, 60_000_000)
    StripeCommand.objects.filter(status="queued").update(due_at="2020-01-01T00:00Z")
    left = ["first"]
    with monkeypatch.context() as patch:
        real = outbox._settle
        patch.setattr(outbox, "_settle", lambda *args: left.pop() and 1 / 0 if left else real(*args))
        with pytest.raises(ZeroDivisionError):
            outbox.send_due()
        left.append("event")
        stripe.deliver_all()
        real_end = inbox._end
        patch.setattr(inbox, "_end", lambda *args: left.pop() and 1 / 0 if left else real_end(*args))
        with pytest.raises(ZeroDivisionError):
            inbox.process_due()
    assert StripeCommand.objects.filter(status="queued").count() == 1
    assert StripeEvent.objects.filter(status="received").count() == 1
    settle(stripe)
    assert not StripeCommand.objects.exclude(status="done").exists()
    assert not StripeEvent.objects.filter(status="received").exists()
    books(stripe)
