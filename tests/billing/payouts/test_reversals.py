"""Reversals of transfers, by us or in Stripe's dashboard: whole, in parts, or before we know of the transfer.

Also what happens to the other payouts of an owner whose payout was reversed for fraud.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from billing.models import BalanceTransaction, ConnectedAccount, LedgerTransfer, Payout, StripeCommand, StripeEvent
from billing.payouts import payouts, suspicions
from billing.statements import statements
from billing.stripe import inbox, outbox, sweeps
from core.errors import Conflict, InvalidInput
from marketplace.local.fake_stripe.payees import Payees
from marketplace.local.fake_stripe.transfers import Transfers
from tests.billing.helpers import sqlstate_of, sweep_money
from tests.billing.payouts.helpers import age, balance, differences, make_payout, ready_owner, transfers
from tests.billing.refunds.helpers import clearing, customer, part, pay, settle
from tests.conformance.fixture import FakeWorld
from tests.database import unguarded

pytestmark = pytest.mark.django_db


def paid(stripe: FakeWorld) -> Payout:
    """Return a paid payout of 25.00, covered by what a customer paid by card."""
    pay(stripe, customer())
    payout = make_payout(ready_owner(stripe))
    assert payouts.send_due() == 1
    stripe.run()
    return reloaded(payout)


def reloaded(payout: Payout) -> Payout:
    payout.refresh_from_db()
    return payout


def fetch_back(stripe: FakeWorld, transfer_id: str, minor: int | None = None) -> None:
    part(stripe, Transfers).reverse({} if minor is None else {"amount": str(minor)}, transfer_id)


def add_up(stripe: FakeWorld) -> None:
    """Check, as if days later, that everything that Stripe booked is in our books."""
    sweeps.sweep_balance()
    age()
    assert differences() == []
    assert clearing() == sum(row["net"] for row in stripe.fake.store.newest("balance_transaction")) * 10_000


def dead_event() -> StripeEvent:
    return StripeEvent.objects.get(type="transfer.reversed", status="dead")


def test_a_whole_one_is_booked_and_no_check_complains(stripe: FakeWorld):
    payout = paid(stripe)
    fetch_back(stripe, payout.stripe_transfer_id)
    settle(stripe)
    assert (reloaded(payout).status, balance(payout.owner, "payable")) == ("reversed", 25_000_000)
    add_up(stripe)
    assert BalanceTransaction.objects.get(type="transfer_refund").transfer_id == payout.stripe_transfer_id


@pytest.mark.parametrize("by", ["its own event", "the dead event again", "a sweep", "us"])
def test_a_part_is_a_difference_until_the_rest_is_back(stripe: FakeWorld, by: str):
    payout = paid(stripe)
    fetch_back(stripe, payout.stripe_transfer_id, 10_00)
    settle(stripe)
    event = dead_event()
    assert (event.status_code, "Only $10.00 of $25.00" in event.message) == ("partly_reversed", True)
    assert (reloaded(payout).status, payout.status_code) == ("paid", "partly_reversed")
    sweeps.sweep_balance()
    age()
    (found,) = differences()
    assert (found.check, found.expected_micro, found.actual_micro) == ("stripe_booked", 10_000_000, 0)
    inbox.retry(event=event, actor=None)
    stripe.run()
    assert dead_event().pk == event.pk  # only a part has come back
    assert sweep_money() == 0
    if by == "us":
        payouts.reverse(payout=payout, reason="fraud", actor=None)
        stripe.run()
    else:
        fetch_back(stripe, payout.stripe_transfer_id)
    if by == "its own event":
        settle(stripe)
    elif by == "the dead event again":
        inbox.retry(event=dead_event(), actor=None)
        stripe.run()
    elif by == "a sweep":
        sweeps.sweep_balance()
        assert sweep_money() == 1
    assert (reloaded(payout).status, payout.status_code, balance(payout.owner, "payable")) == (
        "reversed",
        "",
        25_000_000,
    )
    add_up(stripe)


@pytest.mark.parametrize("minor", [None, 10_00])
def test_one_whose_transfer_we_have_not_written_down_yet(stripe: FakeWorld, minor: int | None):
    pay(stripe, customer())
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.transport.faults = ["lost"]
    outbox.send_due()
    (transfer,) = transfers(stripe)
    fetch_back(stripe, transfer["id"], minor)
    stripe.deliver_all()
    inbox.process_due()
    assert StripeEvent.objects.get(type="transfer.reversed").status == "received"  # it waits
    stripe.run()
    if minor is None:
        assert (reloaded(payout).status, balance(payout.owner, "payable")) == ("reversed", 25_000_000)
        assert StripeEvent.objects.get(type="transfer.reversed").status == "processed"
        assert not payout.owner.user.mails.filter(kind="payout-sent").exists()
    else:
        assert (reloaded(payout).status, payout.status_code) == ("paid", "partly_reversed")
        assert dead_event().status_code == "partly_reversed"
        fetch_back(stripe, transfer["id"])
        settle(stripe)
    assert (reloaded(payout).status, balance(payout.owner, "in_transit")) == ("reversed", 0)
    assert LedgerTransfer.objects.filter(idempotency_key=f"payout:{payout.public_id}:reversed").count() == 1
    add_up(stripe)


def test_the_answer_alone_tells_of_one_whose_event_never_came(stripe: FakeWorld):
    pay(stripe, customer())
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.transport.faults = ["lost"]
    outbox.send_due()
    fetch_back(stripe, transfers(stripe)[0]["id"])
    stripe.run()
    assert (reloaded(payout).status, balance(payout.owner, "payable")) == ("reversed", 25_000_000)
    add_up(stripe)


def test_one_that_somebody_fetched_back_just_before_us(stripe: FakeWorld):
    payout = paid(stripe)
    fetch_back(stripe, payout.stripe_transfer_id)
    payouts.reverse(payout=payout, reason="fraud", actor=None)
    stripe.run()
    assert (reloaded(payout).status, StripeCommand.objects.get(kind="reverse_transfer").status) == ("reversed", "done")
    settle(stripe)
    add_up(stripe)


def test_a_transfer_made_by_hand_is_none_of_ours(stripe: FakeWorld):
    payout = paid(stripe)
    account = ConnectedAccount.objects.get(owner=payout.owner)
    transfer = part(stripe, Transfers).create({"amount": "100", "currency": "usd", "destination": account.stripe_id})
    fetch_back(stripe, transfer["id"])
    settle(stripe)
    assert StripeEvent.objects.get(type="transfer.reversed").status_code == "not_ours"
    assert Payees(stripe.fake.emitter).account(account.stripe_id)["_balance"] == {"usd": 2500}


def owed_again(stripe: FakeWorld, payout: Payout, cause: str) -> Payout:
    """Reverse the payout for this cause, and return the next statement's payout of the same amount, due now."""
    payouts.reverse(payout=payout, reason="a police report", actor=None, cause=cause)
    stripe.run()
    assert reloaded(payout).status == "reversed"
    assert statements.close_due(until=timezone.now()) == 1
    new = Payout.objects.exclude(pk=payout.pk).get(amount_micro=payout.amount_micro)
    with unguarded():
        Payout.objects.filter(pk=new.pk).update(due_at=timezone.now())
    return reloaded(new)


def test_what_came_back_for_fraud_is_held_until_operators_let_it_go(stripe: FakeWorld):
    payout = paid(stripe)
    waiting = make_payout(payout.owner, 5_000_000)
    again = owed_again(stripe, payout, "fraud")
    assert payouts.send_due() == 0
    again = reloaded(again)
    assert (again.status_code, again.held_reason, bool(again.held_at)) == ("held", suspicions.REASON, True)
    assert reloaded(waiting).held_at  # a payout that was scheduled before is held, too
    assert AuditEvent.objects.filter(action="payout.hold").count() == 2
    payouts.release(payout=again, actor=None)
    assert payouts.send_due() == 1
    stripe.run()
    assert (reloaded(again).status, reloaded(waiting).status_code) == ("paid", "held")
    settle(stripe)
    add_up(stripe)


def test_what_came_back_in_the_dashboard_is_held_as_well(stripe: FakeWorld):
    payout = paid(stripe)
    fetch_back(stripe, payout.stripe_transfer_id)
    settle(stripe)
    assert reloaded(payout).reverse_cause == "unknown"
    waiting = make_payout(payout.owner)
    with nobody_holding():
        assert payouts.send_due() == 0  # even if it is not marked as held yet
    assert (reloaded(waiting).status_code, waiting.held_at) == ("held", None)
    assert payouts.send_due() == 0
    assert reloaded(waiting).held_at
    payouts.reverse(payout=payout, reason="the bank told us", actor=None, cause="wrong_payee")
    payouts.release(payout=waiting, actor=None)
    later = make_payout(payout.owner, 5_000_000)
    assert payouts.send_due() == 2
    assert reloaded(later).status == "sending"


def test_what_came_back_from_a_wrong_payee_is_paid_again(stripe: FakeWorld):
    again = owed_again(stripe, paid(stripe), "wrong_payee")
    assert again.held_at is None
    assert payouts.send_due() == 1
    with pytest.raises(InvalidInput):
        payouts.reverse(payout=again, reason="x", actor=None, cause="mood")


def test_a_second_request_after_a_refusal_is_a_new_command(stripe: FakeWorld):
    payout = paid(stripe)
    desk = Payees(stripe.fake.emitter)
    account = ConnectedAccount.objects.get(owner=payout.owner).stripe_id
    (at_bank,) = desk.pay_bank(account)
    payouts.reverse(payout=payout, reason="wrong", actor=None, cause="wrong_payee")
    payouts.reverse(payout=payout, reason="fraud", actor=None)  # one is under way; only the cause is new
    stripe.run()
    (first,) = StripeCommand.objects.filter(kind="reverse_transfer")
    assert (reloaded(payout).status_code, payout.reverse_cause, first.status) == (
        "reversal_stripe_refused",
        "fraud",
        "dead",
    )
    desk.settle_bank(at_bank["id"], paid=False)
    payouts.reverse(payout=payout, reason="the bank sent it back", actor=None)
    assert reloaded(payout).status_code == ""
    stripe.run()
    keys = StripeCommand.objects.filter(kind="reverse_transfer").values_list("idempotency_key", flat=True)
    assert {key.rsplit(":", 1)[1] for key in keys} == {"v1", "v2"}
    assert (reloaded(payout).status, balance(payout.owner, "payable")) == ("reversed", 25_000_000)
    with pytest.raises(Conflict) as caught:
        outbox.retry(command=first, actor=None)
    assert caught.value.code == "payout_not_waiting"


def test_no_second_command_while_the_first_may_have_done_it(stripe: FakeWorld):
    payout = paid(stripe)
    payouts.reverse(payout=payout, reason="fraud", actor=None)
    stripe.transport.faults = ["lost", *["busy"] * 100]
    for _ in range(outbox.ATTEMPTS):
        stripe.run()
    assert reloaded(payout).status_code.startswith("reversal_")
    with pytest.raises(Conflict) as caught:
        payouts.reverse(payout=payout, reason="fraud", actor=None)
    assert caught.value.code == "reversal_unknown"
    other = StripeCommand.objects.create(
        kind="reverse_transfer", subject_id=payout.pk, idempotency_key="other", status="dead"
    )
    assert sqlstate_of(f"UPDATE billing_payout SET reverse_command_id = {other.pk}") == "DW001"
    stripe.transport.faults = []
    outbox.retry(command=payout.reverse_command, actor=None)
    stripe.run()
    assert reloaded(payout).status == "reversed"


@contextmanager
def nobody_holding() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suspicions, "hold", lambda: 0)
        yield
