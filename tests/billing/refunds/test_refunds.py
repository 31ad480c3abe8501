"""Refunds of unspent money to the cards that it came from: what can be refunded, Stripe's answers, every failure."""

import pytest
from django.db import connection

from accounts.models import AuditEvent, Mail
from billing.models import LedgerTransfer, Refund, StripeCommand
from billing.refunds import outcomes as refund_outcomes
from billing.refunds import refunds
from billing.stripe import inbox, outbox, sweeps
from core.errors import Conflict, InvalidInput
from tests.billing.helpers import make_market, make_organization, order, sweep_money, top_up
from tests.billing.refunds.helpers import ask, balance, books, check, customer, given_up, pay, refund_desk, settle
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


def parts(organization) -> list[int]:
    return [micro for _, micro in refunds.refundable(organization)]


def test_money_goes_back_to_the_card_it_came_from(stripe: FakeWorld):
    organization = customer()
    lot = pay(stripe, organization)
    (refund,) = ask(organization, 20_000_000)
    assert (balance(organization), refund.status) == (30_000_000, "requested")
    refunds.send([refund])
    refund.refresh_from_db()
    assert (refund.status, bool(refund.stripe_id), refund.top_up) == ("succeeded", True, lot)
    settle(stripe)
    books(stripe)
    (charge,) = stripe.fake.store.newest("charge")
    assert (charge["amount_refunded"], charge["refunded"]) == (2000, False)
    assert parts(organization) == [30_000_000]
    (mail,) = Mail.objects.filter(kind="refund-sent")
    assert mail.user.email.startswith("finance")
    assert AuditEvent.objects.filter(action="wallet.refund").count() == 1


def test_newest_first_and_never_more_than_is_free_or_left(stripe: FakeWorld):
    organization = customer()
    old, new = pay(stripe, organization, 30_000_000), pay(stripe, organization, 20_000_000)
    top_up(organization, 100_000_000)  # by bank transfer: cannot go back to a card
    assert refunds.refundable(organization) == [(new, 20_000_000), (old, 30_000_000)]
    first = ask(organization, 25_000_000)
    assert [(row.top_up, row.amount_micro) for row in first] == [(new, 20_000_000), (old, 5_000_000)]
    assert refunds.refundable(organization) == [(old, 25_000_000)]
    with pytest.raises(InvalidInput) as caught:
        ask(organization, 25_010_000)
    assert (caught.value.code, caught.value.fields) == ("refund_too_large", {"refundable_micro": 25_000_000})
    check()


def test_what_is_held_or_spent_does_not_go_back(stripe: FakeWorld):
    market = make_market(top_up_micro=0)
    pay(stripe, market.organization, 5_000_000)
    held = order(market.organization, items=1000).held_micro
    assert parts(market.organization) == [(5_000_000 - held) // 10_000 * 10_000]


def test_promotional_credit_and_old_lots_stay(stripe: FakeWorld, settings):
    from billing.wallet import promo_credits

    organization = customer()
    promo_credits.grant(
        organization=organization, amount_micro=9_000_000, reason="hello", idempotency_key="p", actor=None
    )
    assert parts(organization) == []
    pay(stripe, organization)
    assert parts(organization) == [50_000_000]
    settings.REFUND_MAX_AGE_DAYS = 0
    assert parts(organization) == []


def test_the_same_key_is_the_same_refund(stripe: FakeWorld):
    organization = customer()
    pay(stripe, organization, 20_000_000)
    pay(stripe, organization, 20_000_000)
    first = ask(organization, 30_000_000, "k")
    assert ask(organization, 30_000_000, "k") == first
    with pytest.raises(Conflict, match="another amount"):
        ask(organization, 10_000_000, "k")
    assert (Refund.objects.count(), balance(organization)) == (2, 10_000_000)


@pytest.mark.parametrize(("amount", "code"), [(0, "amount_invalid"), (-1, "amount_invalid"), (1, "amount_not_whole")])
def test_amounts_that_are_none(stripe: FakeWorld, amount: int, code: str):
    with pytest.raises(InvalidInput) as caught:
        ask(customer(), amount)
    assert caught.value.code == code


def test_a_bank_that_takes_its_time(stripe: FakeWorld):
    organization = customer()
    pay(stripe, organization, card="4000000000007726")
    (refund,) = ask(organization, 50_000_000)
    settle(stripe)
    refund.refresh_from_db()
    assert refund.status == "pending"
    refund_desk(stripe).succeed(refund.stripe_id)
    settle(stripe)
    refund.refresh_from_db()
    assert [event.to_status for event in refund.events.all()] == ["requested", "pending", "succeeded"]
    books(stripe)


@pytest.mark.parametrize("by", ["webhook", "sweep", "balance"])
def test_a_refund_that_fails_days_later_is_back_in_the_wallet_once(stripe: FakeWorld, by: str):
    organization, clock = customer(), stripe.fake.emitter.clock
    stripe.fake.emitter.clock = lambda: clock() - 61
    pay(stripe, organization, card="4000000000005126")
    (refund,) = ask(organization, 50_000_000)
    settle(stripe)
    sweeps.sweep_events()
    stripe.fake.emitter.clock = clock
    stripe.fake.payments.expire_old()  # the fake does what is due by now
    for _ in range(3):
        if by == "webhook":
            stripe.deliver_all()
        elif by == "sweep":
            sweeps.sweep_events()
        else:
            sweeps.sweep_balance()
            sweep_money()
        inbox.process_due()
    refund.refresh_from_db()
    assert (refund.status, refund.status_code, balance(organization)) == ("failed", "lost_or_stolen_card", 50_000_000)
    assert refund.returned.reverses == refund.transfer
    assert Mail.objects.filter(kind="refund-failed").count() == 1
    assert parts(organization) == [50_000_000]


def test_states_only_go_forward(stripe: FakeWorld):
    """An answer that was fetched earlier and is applied later changes nothing."""
    from billing.stripe import gateway

    organization = customer()
    pay(stripe, organization, card="4000000000007726")
    (refund,) = ask(organization, 50_000_000)
    stripe.run()
    refund.refresh_from_db()
    seen = [gateway.retrieve_refund(refund.stripe_id)]
    refund_desk(stripe).succeed(refund.stripe_id)
    seen.append(gateway.retrieve_refund(refund.stripe_id))
    refund_desk(stripe).fail(refund.stripe_id)
    seen.append(gateway.retrieve_refund(refund.stripe_id))
    for found in (seen[2], seen[0], seen[1], seen[2], seen[1]):
        assert refund_outcomes.apply(found)
    refund.refresh_from_db()
    assert (refund.status, balance(organization)) == ("failed", 50_000_000)
    books(stripe)


@pytest.mark.parametrize("fault", ["lost", "broken", "busy"])
def test_an_answer_that_gets_lost_is_looked_for_and_nothing_is_sent_twice(stripe: FakeWorld, fault: str):
    organization = customer()
    pay(stripe, organization)
    (refund,) = ask(organization, 50_000_000)
    stripe.transport.faults = [fault]
    refunds.send([refund])
    refund.refresh_from_db()
    assert refund.status == "requested"
    settle(stripe)
    refund.refresh_from_db()
    assert refund.status == "succeeded"
    assert len(list(stripe.fake.store.newest("refund"))) == 1
    books(stripe)


def test_what_stripe_refuses_is_back_in_the_wallet_and_never_sent_again(stripe: FakeWorld):
    organization = customer()
    pay(stripe, organization)
    (refund,) = ask(organization, 50_000_000)
    stripe.transport.faults = ["refused"]
    refunds.send([refund])
    refund.refresh_from_db()
    assert (refund.status, refund.command.status, balance(organization)) == ("failed", "dead", 50_000_000)
    with pytest.raises(Conflict) as caught:
        outbox.retry(command=refund.command, actor=None)
    assert caught.value.code == "refund_given_back"
    stripe.run()
    assert list(stripe.fake.store.newest("refund")) == []
    books(stripe)


@pytest.mark.parametrize("was_done", [True, False])
def test_what_nobody_knows_waits_for_an_operator(stripe: FakeWorld, was_done: bool, operator):
    """The first attempt's answer was lost and the later ones were given up, so Stripe may have the refund or not."""
    refund = given_up(stripe, was_done=was_done)
    organization = refund.organization
    assert (refund.command.status, refund.status, balance(organization)) == ("dead", "requested", 0)
    with pytest.raises(Conflict, match="may be sending"):
        refund_outcomes.resolve(refund=refund, actor=operator)
    StripeCommand.objects.filter(pk=refund.command_id).update(due_at="2020-01-01T00:00Z")
    settled = refund_outcomes.resolve(refund=refund, actor=operator)
    assert (settled.status, balance(organization)) == (("succeeded", 0) if was_done else ("failed", 50_000_000))
    entry = AuditEvent.objects.get(action="refund.resolved", subject=str(refund.public_id))
    assert (entry.actor, entry.details) == (operator, {"status": settled.status})
    books(stripe)


@pytest.fixture
def operator():
    from accounts.models import User

    return User.objects.create(email="opal@example.com")


def test_a_crash_after_the_call_is_found_by_the_next_worker(stripe: FakeWorld):
    organization = customer()
    pay(stripe, organization)
    (refund,) = ask(organization, 50_000_000)
    claim = outbox._claim(outbox.Q(pk=refund.command_id))
    outbox.KINDS["create_refund"].send(claim.command)  # and the process dies
    stripe.deliver_all()  # the event comes before another worker claims the command again
    inbox.process_due()
    refund.refresh_from_db()
    assert (refund.status, refund.command.status) == ("succeeded", "queued")
    stripe.run()
    refund.refresh_from_db()
    assert (refund.status, refund.command.status) == ("succeeded", "done")
    assert len(list(stripe.fake.store.newest("refund"))) == 1
    books(stripe)


def test_events_shuffled_and_tripled(stripe: FakeWorld):
    organization = customer()
    pay(stripe, organization, card="4000000000007726")
    (refund,) = ask(organization, 10_000_000)
    stripe.run()
    refund.refresh_from_db()
    refund_desk(stripe).succeed(refund.stripe_id)
    refund_desk(stripe).fail(refund.stripe_id)
    events = stripe.events()[::-1] * 3
    for event in events:
        stripe.deliver({**event, "id": f"{event['id']}x{len(events)}"})
        inbox.process_due()
    refund.refresh_from_db()
    assert (refund.status, balance(organization)) == ("failed", 50_000_000)
    assert LedgerTransfer.objects.filter(kind="reversal").count() == 1


def test_a_refund_that_somebody_else_made_is_none_of_ours(stripe: FakeWorld):
    from billing.stripe import gateway

    lot = pay(stripe, customer())
    gateway.create_refund({"payment_intent": lot.reference, "amount": 100}, idempotency_key="by:hand")
    settle(stripe)
    assert not Refund.objects.exists()


def test_the_database_refuses(stripe: FakeWorld):
    from tests.billing.helpers import sqlstate_of

    organization, other = customer(), make_organization(top_up_micro=10_000_000)
    pay(stripe, organization)
    (refund,) = ask(organization, 20_000_000)
    stripe.transport.faults = ["refused"]
    (failed,) = ask(organization, 10_000_000)
    refunds.send([failed])
    stripe.run()
    failed.refresh_from_db()
    copy = """INSERT INTO billing_refund (created_at, public_id, organization_id, top_up_id, command_id, amount_micro,
        currency, idempotency_key, status, transfer_id)
        SELECT now(), gen_random_uuid(), {organization}, top_up_id, {command}, {amount}, currency, 'copy', 'requested',
               {transfer} FROM billing_refund WHERE id = {refund}"""
    hold = LedgerTransfer.objects.filter(kind="top_up").last().pk
    for organization_id, amount, transfer in (
        (other.pk, 20_000_000, refund.transfer_id),
        (organization.pk, 30_000_000, refund.transfer_id),
        (organization.pk, 10_000_000, hold),
    ):
        command = StripeCommand.objects.exclude(kind="create_refund").first().pk
        sql = copy.format(
            organization=organization_id, amount=amount, transfer=transfer, refund=refund.pk, command=command
        )
        assert sqlstate_of(sql) == "DW007"
    attacks = [
        (f"UPDATE billing_refund SET amount_micro = 1 WHERE id = {refund.pk}", "DW002"),
        (f"UPDATE billing_refund SET stripe_id = 're_other' WHERE id = {refund.pk}", "DW002"),
        (f"UPDATE billing_refund SET status = 'requested' WHERE id = {failed.pk}", "DW001,23514"),
        (
            f"UPDATE billing_refund SET status = 'failed', returned_id = {failed.returned_id} WHERE id = {refund.pk}",
            "DW007",
        ),
        (f"UPDATE billing_refund SET status = 'failed' WHERE id = {refund.pk}", "23514"),
        (f"UPDATE billing_stripecommand SET status = 'queued' WHERE id = {failed.command_id}", "DW001"),
        ("DELETE FROM billing_refund", "DW002"),
        ("TRUNCATE billing_refund CASCADE", "DW002"),
        ("UPDATE billing_refundevent SET reason = 'x'", "DW002"),
    ]
    assert [(sql, sqlstate_of(sql)) for sql, state in attacks if sqlstate_of(sql) not in state.split(",")] == []
    assert connection.in_atomic_block
