"""A worker that stalls until its lease ends while another claims its work: the slow worker's result is outdated."""

from collections.abc import Callable

import pytest
from django.db.models import Q

from billing.models import Refund, StripeCommand, StripeEvent
from billing.stripe import inbox, outbox
from tests.billing.refunds.helpers import ask, balance, books, customer, pay, settle
from tests.billing.topups.helpers import start
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db
LONG_AGO = "2020-01-01T00:00Z"


def stalled(stripe: FakeWorld) -> tuple[Refund, outbox.Claim]:
    """Return a refund, and the claim of its first sender, which stalls beyond its lease."""
    organization = customer()
    pay(stripe, organization)
    (refund,) = ask(organization, 10_000_000)
    claim = outbox._claim(Q(pk=refund.command_id))
    StripeCommand.objects.filter(pk=refund.command_id).update(due_at=LONG_AGO)
    return refund, claim


def refunds_at(stripe: FakeWorld) -> int:
    return len(list(stripe.fake.store.newest("refund")))


@pytest.mark.parametrize("fault", ["busy", "refused"])
def test_a_slow_sender_does_not_unlearn_that_a_refund_may_be_sent(stripe: FakeWorld, fault: str):
    refund, slow = stalled(stripe)
    stripe.transport.faults = ["", "lost"]  # the second sender looks, finds nothing, sends, and loses the answer
    assert outbox.send_due() == 1
    assert refunds_at(stripe) == 1
    stripe.transport.faults = [fault]
    outbox._work(slow)
    command = StripeCommand.objects.get(pk=refund.command_id)
    assert (command.outcome_unknown, command.status) == (True, "queued")
    stripe.transport.faults = ["busy"] * 100
    for _ in range(outbox.ATTEMPTS):
        StripeCommand.objects.filter(status="queued").update(due_at=LONG_AGO)
        outbox.send_due()
    command.refresh_from_db()
    refund.refresh_from_db()
    assert (command.status, command.outcome_unknown, refund.status) == ("dead", True, "requested")
    assert balance(refund.organization) == 40_000_000  # the refund was sent, so the money must not be returned as well
    stripe.transport.faults = []
    outbox.retry(command=command, actor=None)
    settle(stripe)
    refund.refresh_from_db()
    assert (refund.status, refunds_at(stripe)) == ("succeeded", 1)
    books(stripe)


def test_the_success_of_a_slow_sender_counts(stripe: FakeWorld):
    refund, slow = stalled(stripe)
    stripe.transport.faults = ["busy"]
    assert outbox.send_due() == 1
    outbox._work(slow)
    refund.refresh_from_db()
    assert (refund.status, refund.command.status, refunds_at(stripe)) == ("succeeded", "done", 1)


def test_a_sender_from_before_an_operators_retry_is_slow_too(stripe: FakeWorld):
    """Both senders made attempt 1, since a retry resets the counter: the due time must tell their claims apart."""
    refund, slow = stalled(stripe)
    command = StripeCommand.objects.filter(pk=refund.command_id)
    command.update(status="dead")
    outbox.retry(command=command.get(), actor=None)
    claim = outbox._claim(Q(pk=refund.command_id))
    assert claim.command.attempts == slow.command.attempts
    stripe.transport.faults = ["busy"]
    outbox._work(slow)
    assert command.get().outcome_unknown


@pytest.mark.parametrize("by", ["ends", "waits"])
def test_a_slow_reader_of_an_event_does_not_end_it_for_the_one_at_work(
    stripe: FakeWorld, monkeypatch: pytest.MonkeyPatch, by: str
):
    card_top_up = start(customer())
    stripe.pay(card_top_up)
    (event,) = stripe.events("checkout.session.completed")
    stripe.deliver(event)
    slow = inbox._claim()
    StripeEvent.objects.update(due_at=LONG_AGO)
    mine = inbox._claim()
    handler: Callable[[], bool] = (lambda: False) if by == "ends" else busy
    with monkeypatch.context() as patch:
        patch.setattr(inbox, "_handler", lambda _: handler)
        inbox._work(slow)
    row = StripeEvent.objects.get(pk=slow.pk)
    assert (row.status, row.due_at) == ("received", mine.due_at)
    inbox._work(mine)
    row.refresh_from_db()
    card_top_up.refresh_from_db()
    assert (row.status, card_top_up.status) == ("processed", "paid")


def busy() -> bool:
    raise inbox.StripeUnavailable
