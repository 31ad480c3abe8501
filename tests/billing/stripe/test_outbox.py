"""The outbox: whatever fails between queueing a command and knowing its outcome, Stripe carries it out once."""

from datetime import timedelta

import pytest
from django.db import transaction

from billing.models import CardTopUp, StripeCommand
from billing.stripe import outbox
from billing.stripe.gateway import client
from billing.topups import top_ups
from core.errors import DomainError
from tests.billing.helpers import make_organization
from tests.billing.topups.helpers import ask, start
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


class Crash(BaseException):
    """The death of a process. A BaseException, so that no handler of ours catches it."""


def crash() -> None:
    raise Crash


def commands() -> dict[str, str]:
    return dict(StripeCommand.objects.values_list("kind", "status"))


BOTH_DONE = {"create_customer": "done", "create_checkout_session": "done"}


def test_the_asker_is_first_and_a_worker_comes_after(stripe: FakeWorld):
    ask(make_organization())
    assert outbox.send_due() == 0
    stripe.run()
    assert commands() == BOTH_DONE


@pytest.mark.parametrize("fault", ["lost", "broken", "busy"])
@pytest.mark.parametrize("at", [0, 1])
def test_an_attempt_that_went_wrong_is_made_again_once(stripe: FakeWorld, fault: str, at: int):
    stripe.transport.faults = [""] * at + [fault]
    top_up = start(make_organization())
    assert top_up.status == "created"
    command = StripeCommand.objects.filter(status="queued").order_by("id")[0]
    assert command.outcome_unknown == (fault != "busy")
    stripe.run()
    stripe.run()
    top_up.refresh_from_db()
    assert (top_up.status, commands()) == ("open", BOTH_DONE)
    assert (len(stripe.sessions()), len(list(stripe.fake.store.newest("customer")))) == (1, 1)


def test_after_an_unknown_outcome_we_look_before_we_send(stripe: FakeWorld):
    stripe.transport.faults = ["", "lost"]
    start(make_organization())
    stripe.transport.requests.clear()
    stripe.run()
    assert [request[0] for request in stripe.transport.requests] == ["GET"]
    assert commands() == BOTH_DONE


def test_what_is_not_found_is_sent_again_with_the_same_key_and_body(stripe: FakeWorld):
    stripe.transport.faults = ["", "broken"]
    start(make_organization())
    keys = {request[2] for request in stripe.transport.requests[1:]}
    stripe.transport.requests.clear()
    stripe.run()
    assert [request[0] for request in stripe.transport.requests] == ["GET", "POST"]
    assert {stripe.transport.requests[1][2]} == keys


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("at", [0, 1])
def test_a_process_that_dies_around_the_call_loses_and_doubles_nothing(stripe: FakeWorld, point: str, at: int):
    stripe.run()
    top_up = ask(make_organization())
    calls = iter([*[lambda: None] * at, crash])
    setattr(stripe.transport, point, lambda: next(calls, lambda: None)())
    with pytest.raises(Crash):
        top_ups.open_page(top_up)
    assert StripeCommand.objects.filter(outcome_unknown=True).count() == 1
    assert outbox.send_due() == 0  # the dead process's lease has not ended
    setattr(stripe.transport, point, lambda: None)
    stripe.run()
    top_up.refresh_from_db()
    assert (top_up.status, len(stripe.sessions())) == ("open", 1)
    assert len(list(stripe.fake.store.newest("customer"))) == 1


def test_a_refusal_is_for_good_and_seen(stripe: FakeWorld):
    stripe.transport.faults = ["", "refused"]
    top_up = start(make_organization())
    assert (top_up.status, top_up.status_code) == ("failed", "stripe_refused")
    assert commands()["create_checkout_session"] == "dead"


def test_with_the_customer_die_those_who_wait_for_it_and_a_new_wish_revives_it(stripe: FakeWorld):
    organization = make_organization()
    stripe.transport.faults = ["refused"]
    assert start(organization).status == "failed"
    assert set(commands().values()) == {"dead"}
    assert start(organization).status == "open"


def test_stripe_away_for_long_is_given_up_and_can_be_retried(stripe: FakeWorld):
    top_up = ask(make_organization())
    stripe.transport.faults = ["busy"] * 50
    for _ in range(outbox.ATTEMPTS):
        stripe.run()
    top_up.refresh_from_db()
    assert (top_up.status, top_up.status_code) == ("failed", "stripe_unavailable")
    stripe.transport.faults = []
    for command in StripeCommand.objects.order_by("id"):
        outbox.retry(command=command, actor=None)
    stripe.run()
    top_up.refresh_from_db()
    assert top_up.status == "open"


def test_a_command_that_always_crashes_its_sender_is_given_up(stripe: FakeWorld):
    ask(make_organization())
    StripeCommand.objects.filter(kind="create_customer").update(attempts=outbox.ATTEMPTS, outcome_unknown=True)
    stripe.run()
    assert StripeCommand.objects.get(kind="create_customer").status_code == "crashed"
    assert stripe.transport.requests == []


def test_a_sender_whose_claim_was_taken_over_gives_nothing_up_and_logs_no_error(stripe: FakeWorld, caplog):
    ask(make_organization())
    command = StripeCommand.objects.get(kind="create_customer")
    StripeCommand.objects.filter(pk=command.pk).update(due_at="2020-01-01T00:00Z")
    slow = outbox._claim(outbox.Q(pk=command.pk))
    StripeCommand.objects.filter(pk=command.pk).update(due_at="2020-01-01T00:00Z")  # its lease ends
    outbox._claim(outbox.Q(pk=command.pk))
    outbox._give_up(slow.command, DomainError("No.", code="stripe_refused"), outcome_unknown=False)
    command.refresh_from_db()
    assert command.status == "queued"
    assert "given up" not in caplog.text


def test_delays_grow(stripe: FakeWorld):
    ask(make_organization())
    stripe.transport.faults = ["busy"] * 3
    delays = []
    for _ in range(3):
        stripe.run()
        command = StripeCommand.objects.get(kind="create_customer")
        delays.append(command.due_at - command.first_sent_at)
    assert delays[0] < delays[1] < delays[2]
    assert delays[0] > timedelta(seconds=1)


def test_stripe_is_never_called_in_a_transaction(stripe: FakeWorld):
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        client.read(lambda stripe: stripe.v1.events.list({}))


def test_the_page_of_a_payment_made_before_we_knew_the_page(stripe: FakeWorld):
    """The process died after Stripe opened the page: we do not know the page yet, but its events may come already."""
    stripe.transport.faults = ["", "lost"]
    top_up = start(make_organization())
    session = stripe.sessions()[0]
    assert stripe.fake.payments.pay(session["id"], "4242424242424242") == "paid"
    stripe.deliver_all()
    stripe.run()
    top_up.refresh_from_db()
    assert (top_up.status, top_up.session_id) == ("paid", session["id"])
    assert CardTopUp.objects.count() == 1
