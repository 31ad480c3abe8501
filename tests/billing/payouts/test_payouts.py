"""Payouts: sent when they are due, not held and covered; each is one transfer, whatever fails on the way."""

from datetime import timedelta

import pytest

from accounts.models import Mail, Owner
from billing.models import ConnectedAccount, LedgerTransfer, Payout, StripeCommand, StripeEvent
from billing.payouts import payouts
from billing.stripe import inbox, outbox, sweeps
from billing.stripe.gateway import StripeUnavailable
from core.errors import Conflict
from marketplace.local.fake_stripe.payees import Payees
from tests import factories
from tests.billing.payouts.helpers import balance, become, begin, differences, fund, make_payout, ready_owner, transfers
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


class Crash(BaseException):
    """A process that dies. It is no Exception, so that no handler of ours catches it."""


def crash() -> None:
    raise Crash


def reloaded(payout: Payout) -> Payout:
    payout.refresh_from_db()
    return payout


def states() -> dict[str, str]:
    return {str(row.pk): row.status_code or row.status for row in Payout.objects.order_by("id")}


def test_what_is_due_is_transferred_and_booked_on_the_day_of_the_transfer(stripe: FakeWorld):
    owner = ready_owner(stripe)
    fund(stripe)
    payout = make_payout(owner)
    assert payouts.send_due() == 1
    assert (reloaded(payout).status, payout.account.owner) == ("sending", owner)
    assert payouts.send_due() == 0
    outbox.send_due()
    (transfer,) = transfers(stripe)
    assert (transfer["amount"], transfer["transfer_group"]) == (2500, str(payout.statement.public_id))
    assert transfer["metadata"]["payout"] == str(payout.public_id)
    assert (reloaded(payout).status, payout.stripe_transfer_id, payout.bank_status) == (
        "paid",
        transfer["id"],
        "pending",
    )
    assert (payout.paid_at.timestamp(), payout.sent.effective_at) == (transfer["created"], payout.paid_at)
    assert (payout.sent.kind, payout.sent.idempotency_key) == ("transfer", f"payout:{payout.public_id}:sent")
    assert (balance(owner, "in_transit"), balance(owner, "payable")) == (0, 0)
    assert Mail.objects.filter(user=owner.user, kind="payout-sent").count() == 1
    assert payout.command.idempotency_key == f"payout:{payout.public_id}:transfer:v1"
    assert differences() == []
    sweeps.sweep_balance()  # stores the transfer's movement, which has no fee


def test_why_each_one_waits(stripe: FakeWorld):
    fund(stripe, 60_00)
    ready = [ready_owner(stripe) for _ in range(3)]
    erased = ready_owner(stripe)
    Owner.objects.filter(pk=erased.pk).update(erased_at="2026-01-01T00:00Z")
    rows = {
        "not_due": make_payout(ready[0], due_in=DAY),
        "account_not_ready": make_payout(begin(factories.make_owner()).owner),
        "owner_closed": make_payout(erased),
        "held": payouts.hold(payout=make_payout(ready[0]), reason="looks odd", actor=None),
        "first": make_payout(ready[0], 50_000_000, due_in=-3 * DAY),
        "balance_low": make_payout(ready[1], 20_000_000, due_in=-2 * DAY),
        "overtaken": make_payout(ready[2], 10_000_000, due_in=-DAY),
    }
    assert payouts.send_due() == 1
    found = {name: (reloaded(row).status, row.status_code) for name, row in rows.items()}
    assert found == {
        "not_due": ("scheduled", ""),
        "account_not_ready": ("scheduled", "account_not_ready"),
        "owner_closed": ("scheduled", "owner_closed"),
        "held": ("scheduled", "held"),
        "first": ("sending", ""),
        "balance_low": ("scheduled", "balance_low"),
        "overtaken": ("scheduled", "balance_low"),
    }
    outbox.send_due()
    fund(stripe)
    payouts.release(payout=rows["held"], actor=None)
    become(stripe, ConnectedAccount.objects.get(owner=rows["account_not_ready"].owner), "ready")
    assert payouts.send_due() == 4
    outbox.send_due()
    assert len(transfers(stripe)) == 5
    assert [row.idempotency_key for row in StripeCommand.objects.filter(status="queued")] == []


def test_hundreds_at_once_are_a_fixed_number_of_statements(stripe: FakeWorld, django_assert_max_num_queries):
    fund(stripe, 10_000_00)
    owner = ready_owner(stripe)
    for _ in range(40):
        make_payout(owner)
    with django_assert_max_num_queries(16):
        assert payouts.send_due(limit=30) == 30
    assert payouts.send_due(limit=30) == 10
    assert StripeCommand.objects.filter(kind="create_transfer").count() == 40
    outbox.send_due(limit=500)
    assert {row["metadata"]["payout"] for row in transfers(stripe)} == {
        str(row.public_id) for row in Payout.objects.all()
    }


def test_what_is_being_sent_is_not_spent_twice(stripe: FakeWorld):
    fund(stripe, 30_00)
    make_payout(ready_owner(stripe))
    assert payouts.send_due() == 1
    late = make_payout(ready_owner(stripe))
    assert payouts.send_due() == 0
    assert reloaded(late).status_code == "balance_low"


def test_charges_that_pend_pay_nobody(stripe: FakeWorld):
    stripe.fake.emitter.available_at_once = False
    fund(stripe)
    make_payout(ready_owner(stripe))
    assert payouts.send_due() == 0
    clock = stripe.fake.emitter.clock
    stripe.fake.emitter.clock = lambda: clock() + 3 * 86_400
    assert payouts.send_due() == 1


def test_stripe_away_or_switched_off_sends_nothing(stripe: FakeWorld, settings):
    make_payout(ready_owner(stripe))
    stripe.transport.faults = ["busy"]
    with pytest.raises(StripeUnavailable):
        payouts.send_due()
    settings.STRIPE_SECRET_KEY = ""
    assert payouts.send_due() == 0


@pytest.mark.parametrize("fault", ["lost", "broken", "busy"])
def test_a_transfer_whose_answer_got_lost_is_looked_for_and_made_once(stripe: FakeWorld, fault: str):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.transport.faults = [fault]
    outbox.send_due()
    assert reloaded(payout).status == "sending"
    stripe.run()
    assert (reloaded(payout).status, len(transfers(stripe))) == ("paid", 1)
    assert differences() == []


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_process_that_dies_around_the_call(stripe: FakeWorld, point: str):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    setattr(stripe.transport, point, crash)
    with pytest.raises(Crash):
        outbox.send_due()
    setattr(stripe.transport, point, lambda: None)
    assert (outbox.send_due(), payouts.send_due()) == (0, 0)  # the lease still runs
    with pytest.raises(Conflict) as caught:
        payouts.return_to_balance(payout=payout, reason="x", actor=None)
    assert caught.value.code == "payout_may_be_sent"
    stripe.run()
    assert (reloaded(payout).status, len(transfers(stripe))) == ("paid", 1)


@pytest.mark.parametrize("step", ["_settle", "_claim", "_work"])
def test_a_process_that_dies_between_two_steps(stripe: FakeWorld, monkeypatch, step: str):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    with monkeypatch.context() as patch:
        patch.setattr(outbox, step, lambda *_: crash())
        with pytest.raises(Crash):
            outbox.send_due()
    stripe.run()
    assert (reloaded(payout).status, len(transfers(stripe))) == ("paid", 1)
    assert LedgerTransfer.objects.filter(kind="transfer").count() == 1


def test_another_transfer_than_asked_for_is_never_taken_for_ours(stripe: FakeWorld):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.transport.faults = ["lost"]
    outbox.send_due()
    (transfer,) = transfers(stripe)
    stripe.fake.store.put({**transfer, "amount": 1})
    stripe.run()
    assert reloaded(payout).status == "sending"
    assert payout.command.outcome_unknown


def test_too_low_a_balance_gives_it_its_turn_again_under_a_new_key(stripe: FakeWorld):
    """Under the old key Stripe would repeat its refusal for a day."""
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    fund(stripe, -990_00)
    outbox.send_due()
    assert (reloaded(payout).status, payout.status_code, payout.command) == ("scheduled", "balance_low", None)
    fund(stripe, 990_00)
    assert payouts.send_due() == 1
    stripe.run()
    assert (reloaded(payout).status, payout.command.idempotency_key[-3:], len(transfers(stripe))) == ("paid", ":v2", 1)
    (dead,) = StripeCommand.objects.filter(status="dead")
    with pytest.raises(Conflict) as caught:
        outbox.retry(command=dead, actor=None)
    assert caught.value.code == "payout_not_waiting"


def test_an_account_that_stripe_does_not_let_us_pay_is_doubted_until_it_is_read_again(stripe: FakeWorld):
    fund(stripe)
    owner = ready_owner(stripe)
    payout = make_payout(owner)
    payouts.send_due()
    account = ConnectedAccount.objects.get(owner=owner)
    Payees(stripe.fake.emitter).decide(account.stripe_id, "restricted")
    outbox.send_due()
    assert (reloaded(payout).status, payout.status_code) == ("scheduled", "account_not_ready")
    account.refresh_from_db()
    assert (account.status, account.status_code) == ("pending", "transfer_refused")
    assert payouts.send_due() == 0
    become(stripe, account, "ready")
    assert payouts.send_due() == 1
    stripe.run()
    assert reloaded(payout).status == "paid"


def test_any_other_refusal_waits_for_operators(stripe: FakeWorld):
    fund(stripe)
    owner = ready_owner(stripe)
    again, back = make_payout(owner), make_payout(owner)
    payouts.send_due()
    stripe.transport.faults = ["refused"] * 2
    outbox.send_due()
    assert (reloaded(again).status, again.status_code) == ("sending", "stripe_refused")
    payouts.schedule_again(payout=again, actor=None)
    payouts.return_to_balance(payout=back, reason="wrong account", actor=None)
    payouts.return_to_balance(payout=back, reason="wrong account", actor=None)
    assert (reloaded(back).status, back.returned.kind, balance(owner, "payable")) == ("returned", "return", 25_000_000)
    with pytest.raises(Conflict):
        outbox.retry(command=back.command, actor=None)
    payouts.send_due()
    stripe.run()
    assert (reloaded(again).status, len(transfers(stripe))) == ("paid", 1)
    for act in (payouts.return_to_balance, payouts.hold):
        with pytest.raises(Conflict):
            act(payout=again, reason="x", actor=None)
    assert differences() == []


def test_an_unknown_outcome_that_was_given_up_is_given_back_to_nobody(stripe: FakeWorld):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.transport.faults = ["lost", *["broken"] * 100]
    outbox.send_due()
    for _ in range(outbox.ATTEMPTS):
        stripe.run()
    assert (reloaded(payout).status, payout.status_code, payout.command.status) == (
        "sending",
        "outcome_unknown",
        "dead",
    )
    for act in (
        payouts.return_to_balance,
        lambda *, payout, reason, actor: payouts.schedule_again(payout=payout, actor=actor),
    ):
        with pytest.raises(Conflict):
            act(payout=payout, reason="x", actor=None)
    stripe.transport.faults = []
    outbox.retry(command=payout.command, actor=None)
    stripe.run()
    assert (reloaded(payout).status, len(transfers(stripe))) == ("paid", 1)


def test_what_was_never_sent_can_be_returned(stripe: FakeWorld):
    owner = ready_owner(stripe)
    payout = payouts.return_to_balance(payout=make_payout(owner), reason="asked by the owner", actor=None)
    assert (payout.status, balance(owner, "payable"), balance(owner, "in_transit")) == ("returned", 25_000_000, 0)
    assert payouts.send_due() == 0


@pytest.mark.parametrize("fault", ["", "lost"])
def test_a_payout_is_fetched_back_once(stripe: FakeWorld, fault: str):
    fund(stripe)
    owner = ready_owner(stripe)
    payout = make_payout(owner)
    with pytest.raises(Conflict):
        payouts.reverse(payout=payout, reason="fraud", actor=None)
    payouts.send_due()
    stripe.run()
    for _ in range(2):
        payouts.reverse(payout=payout, reason="fraud", actor=None)
    stripe.transport.faults = [fault]
    stripe.run()
    stripe.deliver_all()
    stripe.run()
    assert (reloaded(payout).status, balance(owner, "payable")) == ("reversed", 25_000_000)
    assert [row["amount_reversed"] for row in transfers(stripe)] == [2500]
    assert LedgerTransfer.objects.filter(idempotency_key=f"payout:{payout.public_id}:reversed").count() == 1
    assert differences() == []


def test_what_the_owner_has_spent_cannot_be_fetched_back(stripe: FakeWorld):
    fund(stripe)
    owner = ready_owner(stripe)
    payout = make_payout(owner)
    payouts.send_due()
    stripe.run()
    Payees(stripe.fake.emitter).pay_bank(ConnectedAccount.objects.get(owner=owner).stripe_id)
    payouts.reverse(payout=payout, reason="fraud", actor=None)
    stripe.run()
    assert (reloaded(payout).status, payout.status_code) == ("paid", "reversal_stripe_refused")


def test_a_part_fetched_back_in_stripes_dashboard_is_for_operators(stripe: FakeWorld):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.run()
    (transfer,) = transfers(stripe)
    stripe.fake.store.put({**transfer, "amount_reversed": 100})
    stripe.fake.emitter.changed("transfer.reversed", stripe.fake.store.get(transfer["id"]))
    stripe.deliver_all()
    inbox.process_due()
    assert StripeEvent.objects.get(type="transfer.reversed").status_code == "partly_reversed"
    assert reloaded(payout).status == "paid"
