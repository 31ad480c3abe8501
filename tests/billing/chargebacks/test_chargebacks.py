"""Chargebacks: Stripe's answers in any order and number, the money, the suspension, evidence and write-offs."""

import itertools
import random

import pytest
from django.db import transaction

from accounts.models import AuditEvent, Mail, Organization, User
from billing.chargebacks import chargebacks, suspensions
from billing.models import CardDispute, LedgerTransfer
from billing.refunds import refunds
from billing.stripe import gateway, inbox, outbox, sweeps
from core.errors import Conflict, InvalidInput
from tests.billing.helpers import end_job, make_market, make_organization, order, sqlstate_of, sweep_money, top_up
from tests.billing.refunds.helpers import (
    ask,
    balance,
    books,
    charge_of,
    customer,
    dispute_desk,
    pay,
    settle,
)
from tests.billing.topups.helpers import start
from tests.conformance.fixture import FakeWorld
from tests.long import examples

pytestmark = pytest.mark.django_db


def open_dispute(stripe: FakeWorld, lot, **options) -> str:
    """Have the cardholder dispute the payment, process what arrives, and return the dispute's id at Stripe."""
    dispute_id = dispute_desk(stripe).open(charge_of(stripe, lot), **options)
    settle(stripe)
    return dispute_id


def suspended(organization) -> bool:
    return Organization.objects.get(pk=organization.pk).status == "suspended"


@pytest.fixture
def operator() -> User:
    return User.objects.create(email="opal@example.com")


@pytest.mark.long
def test_a_payment_disputed_at_once(stripe: FakeWorld):
    """The events of the dispute arrive before those of the payment."""
    organization = customer()
    card_top_up = start(organization)
    stripe.pay(card_top_up, "4000000000000259")
    for event in stripe.events("charge.dispute"):
        stripe.deliver(event)
    inbox.process_due()
    card_top_up.refresh_from_db()
    dispute = CardDispute.objects.get()
    assert (card_top_up.status, dispute.status, dispute.reason) == ("paid", "needs_response", "fraudulent")
    # The bank took the money, and the wallet paid for it.
    assert (balance(organization), balance(organization, "disputed")) == (0, 0)
    assert suspended(organization)
    settle(stripe)
    books(stripe)
    fees = [row.amount_micro for row in LedgerTransfer.objects.filter(kind="fee").order_by("amount_micro")]
    assert fees == [1_750_000, 15_000_000]
    assert Mail.objects.filter(kind="card-dispute-opened").count() == 1
    assert AuditEvent.objects.filter(action="organization.suspended").count() == 1


def test_what_was_spent_is_owed_and_paid_by_what_comes_later(stripe: FakeWorld):
    market = make_market(top_up_micro=0)
    organization = market.organization
    lot = pay(stripe, organization, 5_000_000)
    job = order(organization, items=30_000)
    held = job.held_micro
    open_dispute(stripe, lot)
    assert (balance(organization), balance(organization, "disputed")) == (0, held)
    books(stripe)
    top_up(organization, 1_000_000)  # by bank transfer
    assert (balance(organization), balance(organization, "disputed"), suspended(organization)) == (
        0,
        held - 1_000_000,
        True,
    )
    end_job(job.job)
    from billing.orders import closing

    closing.close_orders()
    assert balance(organization) == held
    assert chargebacks.collect_owed() == 1
    assert chargebacks.collect_owed() == 0
    assert (balance(organization), balance(organization, "disputed")) == (1_000_000, 0)
    assert suspended(organization)  # the dispute is still open
    dispute_desk(stripe).decide(CardDispute.objects.get().stripe_id, won=False)
    settle(stripe)
    assert (CardDispute.objects.get().status, suspended(organization)) == ("lost", False)
    assert Mail.objects.count() == 0  # this organization has no members
    books(stripe)


def test_won_brings_everything_back(stripe: FakeWorld):
    market = make_market(top_up_micro=0)
    organization = market.organization
    lot = pay(stripe, organization, 5_000_000)
    held = order(organization, items=30_000).held_micro
    dispute_id = open_dispute(stripe, lot)
    assert balance(organization, "disputed") == held
    dispute_desk(stripe).decide(dispute_id, won=True)
    settle(stripe)
    dispute = CardDispute.objects.get()
    assert (dispute.status, bool(dispute.reinstated_at), suspended(organization)) == ("won", True, False)
    assert (balance(organization), balance(organization, "disputed")) == (5_000_000 - held, 0)
    assert refunds.refundable(organization) == []
    books(stripe)


def test_a_dispute_after_a_refund(stripe: FakeWorld):
    organization = customer()
    lot = pay(stripe, organization)
    ask(organization, 20_000_000)
    settle(stripe)
    dispute_id = open_dispute(stripe, lot)  # of the whole payment, although a part was refunded: banks make mistakes
    assert (balance(organization), balance(organization, "disputed")) == (0, 20_000_000)
    dispute_desk(stripe).decide(dispute_id, won=False)
    settle(stripe)
    assert suspended(organization)
    pay(stripe, organization, 30_000_000)
    assert (balance(organization), balance(organization, "disputed"), suspended(organization)) == (10_000_000, 0, False)
    books(stripe)


def test_an_inquiry_moves_nothing_but_what_could_be_taken_stays(stripe: FakeWorld):
    organization = customer()
    lot, other = pay(stripe, organization, card="4000000000001976"), pay(stripe, organization)
    dispute = CardDispute.objects.get()
    assert (dispute.status, dispute.top_up, balance(organization), suspended(organization)) == (
        "warning",
        lot,
        100_000_000,
        True,
    )
    assert refunds.refundable(organization) == [(other, 50_000_000)]  # the bank may still take 50 of the 100
    dispute_desk(stripe).close_inquiry(dispute.stripe_id)
    settle(stripe)
    assert (CardDispute.objects.get().status, suspended(organization)) == ("closed", False)
    assert [micro for _, micro in refunds.refundable(organization)] == [50_000_000, 50_000_000]
    books(stripe)


def test_an_inquiry_that_becomes_a_chargeback(stripe: FakeWorld):
    organization = customer()
    pay(stripe, organization, card="4000000000001976")
    dispute_desk(stripe).escalate(CardDispute.objects.get().stripe_id)
    settle(stripe)
    assert (CardDispute.objects.get().status, balance(organization)) == ("needs_response", 0)
    books(stripe)


ENDS = ("won", "lost", "lost then won")


@pytest.mark.parametrize("end", ENDS)
def test_answers_in_any_order_end_alike(stripe: FakeWorld, end: str):
    """Apply every state in which the dispute may have been fetched, in random orders, some of them twice."""
    market = make_market(top_up_micro=0)
    organization, desk = market.organization, dispute_desk(stripe)
    lot = pay(stripe, organization, 5_000_000)
    held = order(organization, items=30_000).held_micro
    dispute_id = desk.open(charge_of(stripe, lot), inquiry=True)
    answers = [gateway.retrieve_dispute(dispute_id)]
    desk.escalate(dispute_id)
    answers.append(gateway.retrieve_dispute(dispute_id))
    stripe.fake.handle(
        "POST", f"/v1/disputes/{dispute_id}", {"authorization": "Bearer sk_test_fake"}, "evidence[uncategorized_text]=x"
    )
    answers.append(gateway.retrieve_dispute(dispute_id))
    for outcome in end.split(" then "):
        desk.decide(dispute_id, won=outcome == "won")
        answers.append(gateway.retrieve_dispute(dispute_id))
    spendable = 5_000_000 - held
    expected = (end.split()[-1], spendable, 0) if end.endswith("won") else ("lost", 0, held)
    orders = list(itertools.permutations(answers))
    for chosen in random.Random(1).sample(orders, examples(20)):
        with transaction.atomic():
            for found in (*chosen, *chosen[:2], answers[-1], answers[0]):
                assert chargebacks.apply(found)
            dispute = CardDispute.objects.get()
            assert (dispute.status, balance(organization), balance(organization, "disputed")) == expected
            assert suspended(organization) is (dispute.status == "lost")
            transaction.set_rollback(True)
    settle(stripe)
    assert (CardDispute.objects.get().status, balance(organization)) == expected[:2]
    books(stripe)


@pytest.mark.long
def test_events_shuffled_and_tripled(stripe: FakeWorld):
    organization = customer()
    lot = pay(stripe, organization)
    desk = dispute_desk(stripe)
    dispute_id = desk.open(charge_of(stripe, lot))
    desk.decide(dispute_id, won=False)
    desk.decide(dispute_id, won=True)
    events = stripe.events("charge.dispute") * 3
    random.Random(7).shuffle(events)
    for index, event in enumerate(events):
        stripe.deliver({**event, "id": f"evt_{index}"})
        inbox.process_due()
    assert (CardDispute.objects.get().status, balance(organization)) == ("won", 50_000_000)
    assert Mail.objects.filter(kind="card-dispute-ended").count() == 1
    books(stripe)


def test_what_no_event_told_the_balance_tells(stripe: FakeWorld):
    organization = customer()
    lot = pay(stripe, organization)
    dispute_desk(stripe).open(charge_of(stripe, lot))
    sweeps.sweep_balance()
    assert sweep_money() == 1
    assert sweep_money() == 0
    assert CardDispute.objects.get().withdrawn_at
    books(stripe)


def test_somebody_elses_suspension_stays(stripe: FakeWorld, operator: User):
    organization = customer()
    lot = pay(stripe, organization)
    Organization.objects.filter(pk=organization.pk).update(status="suspended")
    dispute_id = open_dispute(stripe, lot)
    dispute_desk(stripe).decide(dispute_id, won=True)
    settle(stripe)
    assert (CardDispute.objects.get().suspended_at, suspended(organization)) == (None, True)


def test_an_operator_may_let_it_go_on_and_we_do_not_suspend_for_the_same_again(stripe: FakeWorld, operator: User):
    organization = customer()
    lot = pay(stripe, organization)
    dispute_id = open_dispute(stripe, lot)
    for _ in range(2):
        suspensions.lift(organization=organization, actor=operator)
    chargebacks.apply(gateway.retrieve_dispute(dispute_id))
    assert not suspended(organization)
    assert AuditEvent.objects.filter(action="organization.unsuspended", actor=operator).count() == 1
    open_dispute(stripe, pay(stripe, organization))
    assert suspended(organization)


def test_evidence_is_told_once_and_again_when_the_bank_asks_again(stripe: FakeWorld, operator: User):
    organization = customer()
    lot = pay(stripe, organization)
    dispute_id = open_dispute(stripe, lot)
    dispute, desk = CardDispute.objects.get(), dispute_desk(stripe)
    with pytest.raises(InvalidInput, match="Write what"):
        chargebacks.submit_evidence(dispute=dispute, text=" ", actor=operator)
    command = chargebacks.submit_evidence(dispute=dispute, text="They ran 40 jobs.", actor=operator)
    with pytest.raises(Conflict, match="on its way"):
        chargebacks.submit_evidence(dispute=dispute, text="More.", actor=operator)
    stripe.transport.faults = ["lost"]
    outbox.send_now(command)
    stripe.run()
    command.refresh_from_db()
    dispute.refresh_from_db()
    assert (command.status, dispute.status) == ("done", "under_review")
    at_stripe = stripe.fake.store.get(dispute_id)
    assert at_stripe["evidence"]["uncategorized_text"] == "They ran 40 jobs."
    assert at_stripe["evidence_details"]["submission_count"] == 1
    with pytest.raises(Conflict, match="no answer now"):
        chargebacks.submit_evidence(dispute=dispute, text="More.", actor=operator)
    desk.ask_again(dispute_id)
    settle(stripe)
    chargebacks.submit_evidence(dispute=dispute, text="winning_evidence", actor=operator)
    settle(stripe)
    dispute.refresh_from_db()
    assert (dispute.status, balance(organization)) == ("won", 50_000_000)
    books(stripe)


def test_evidence_that_stripe_refuses_may_be_written_again(stripe: FakeWorld, operator: User):
    dispute_id = open_dispute(stripe, pay(stripe, customer()))
    dispute = CardDispute.objects.get()
    command = chargebacks.submit_evidence(dispute=dispute, text="x", actor=operator)
    stripe.transport.faults = ["refused"]
    outbox.send_now(command)
    dispute.refresh_from_db()
    assert (dispute.evidence_at, dispute.status) == (None, "needs_response")
    chargebacks.submit_evidence(dispute=dispute, text="y", actor=operator)
    stripe.run()
    assert stripe.fake.store.get(dispute_id)["status"] == "under_review"


def test_written_off_is_our_loss_until_it_is_won_after_all(stripe: FakeWorld, operator: User):
    market = make_market(top_up_micro=0)
    organization = market.organization
    lot = pay(stripe, organization, 5_000_000)
    held = order(organization, items=30_000).held_micro
    dispute_id = open_dispute(stripe, lot)
    dispute = CardDispute.objects.get()
    with pytest.raises(Conflict, match="Only a lost"):
        chargebacks.write_off(dispute=dispute, actor=operator)
    dispute_desk(stripe).decide(dispute_id, won=False)
    settle(stripe)
    assert [chargebacks.write_off(dispute=dispute, actor=operator) for _ in range(2)] == [held, 0]
    assert (balance(organization, "disputed"), suspended(organization)) == (0, True)
    top_up(organization, 1_000_000)
    assert (balance(organization), suspended(organization)) == (1_000_000, True)  # only an operator lifts it now
    dispute_desk(stripe).decide(dispute_id, won=True)
    settle(stripe)
    assert (balance(organization), balance(organization, "disputed")) == (6_000_000 - held, 0)
    assert not suspended(organization)
    books(stripe)


def test_a_dispute_of_nothing_of_ours(stripe: FakeWorld):
    lot = pay(stripe, customer())
    found = gateway.retrieve_dispute(dispute_desk(stripe).open(charge_of(stripe, lot)))
    from dataclasses import replace

    assert not chargebacks.apply(replace(found, payment_intent_id="pi_other"))
    assert not chargebacks.apply(replace(found, payment_intent_id=""))
    assert not CardDispute.objects.exists()


def test_the_database_refuses(stripe: FakeWorld):
    organization, other = customer(), make_organization(top_up_micro=1_000_000)
    open_dispute(stripe, pay(stripe, organization))
    manual = "(SELECT id FROM billing_topup WHERE method = 'manual')"
    insert = """INSERT INTO billing_carddispute (created_at, public_id, organization_id, top_up_id, stripe_id, amount_micro,
        currency, reason, status, withdrawn_at) SELECT now(), gen_random_uuid(), {organization}, {top_up}, 'dp_x', 1, currency,
        'x', 'lost', {at} FROM billing_carddispute"""
    attacks = [
        (insert.format(organization=other.pk, top_up="top_up_id", at="NULL"), "DW007"),
        (insert.format(organization=other.pk, top_up=manual, at="NULL"), "DW007"),
        (insert.format(organization="organization_id", top_up="top_up_id", at="now()"), "DW007"),
        ("UPDATE billing_carddispute SET reinstated_at = now()", "DW007"),
        ("UPDATE billing_carddispute SET written_off_at = now()", "DW007"),
        ("UPDATE billing_carddispute SET withdrawn_at = NULL", "DW002"),
        ("UPDATE billing_carddispute SET amount_micro = 1", "DW002"),
        ("UPDATE billing_carddispute SET suspended_at = now() + interval '1 day'", "DW002"),
        ("UPDATE billing_carddispute SET suspended_at = NULL", "DW002"),
        ("UPDATE billing_carddispute SET status = 'warning'", "DW001"),
        ("DELETE FROM billing_carddispute", "DW002"),
        ("TRUNCATE billing_carddispute CASCADE", "DW002"),
        ("UPDATE billing_carddisputeevent SET reason = 'x'", "DW002"),
    ]
    assert [(sql, found) for sql, state in attacks if (found := sqlstate_of(sql)) != state] == []
