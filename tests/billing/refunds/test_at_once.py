"""Concurrent refunds, holds, chargebacks and top-ups, in threads with connections of their own."""

import pytest

from billing.chargebacks import chargebacks
from billing.models import CardDispute, LedgerTransfer, Refund
from billing.refunds import outcomes as refund_outcomes
from billing.refunds import refunds
from billing.stripe.gateway import BalanceMovement, BankDispute
from billing.wallet import wallets
from tests import factories
from tests.billing.helpers import make_market, number, order, top_up
from tests.billing.refunds.helpers import HELD, ask, balance
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def lot(organization, micro: int):
    return wallets.top_up(
        organization=organization,
        amount_micro=micro,
        method="stripe",
        reference=f"pi_{number()}",
        idempotency_key=f"lot-{number()}",
        actor=None,
    )


def holds() -> bool:
    from billing.ledger import posting

    return [found for found in posting.recompute() if found.check in HELD] == []


def test_refunds_of_one_wallet_never_go_beyond_it():
    """With 50.00 in the wallet, five of eight concurrent refunds of 10.00 succeed; two of the eight have one key."""
    organization = make_market(top_up_micro=0).organization
    lot(organization, 30_000_000)
    lot(organization, 20_000_000)
    results = at_once(8, lambda index: ask(organization, 10_000_000, f"k{index // 2 if index < 2 else index}"))
    assert results.count("refund_too_large") in (2, 3)  # three, if the request that came twice was among the refused
    assert (balance(organization), sum(row.amount_micro for row in Refund.objects.all())) == (0, 50_000_000)
    assert holds()


@pytest.mark.long
def test_a_refund_and_orders_race_for_the_same_money():
    market = make_market(top_up_micro=0)
    lot(market.organization, 1_000_000)

    def work(index: int):
        if index % 2:
            return order(market.organization, cap_micro=100_000).held_micro
        return ask(market.organization, 250_000 // 10_000 * 10_000)

    results = at_once(12, work)
    assert not [result for result in results if isinstance(result, Exception)]
    spent = sum(row.amount_micro for row in Refund.objects.all()) + balance(market.organization, "hold")
    assert balance(market.organization) == 1_000_000 - spent >= 0
    assert holds()


def test_a_refund_that_fails_is_given_back_once():
    organization = make_market(top_up_micro=0).organization
    lot(organization, 10_000_000)
    refund = factories.make_refund(organization, 10_000_000, status="succeeded")

    def work(_: int) -> str:
        from django.db import transaction

        with transaction.atomic():
            row = refund_outcomes.lock_refund(refund)
            refund_outcomes.settle(row, stripe_id=row.stripe_id, status="failed", code="x")
        return row.status

    assert at_once(6, work) == ["failed"] * 6
    assert balance(organization) == 10_000_000


@pytest.mark.long
def test_chargebacks_top_ups_refunds_and_orders_at_once():
    """Three workers apply each dispute while money comes and goes: nothing is taken twice, and there is no deadlock."""
    market = make_market(top_up_micro=0)
    organization = market.organization
    lots = [lot(organization, 10_000_000) for _ in range(3)]
    spent = order(organization, items=30_000).held_micro

    def dispute(of) -> BankDispute:
        moved = BalanceMovement(
            id=f"txn_{of.pk}",
            type="adjustment",
            source_id=f"dp_{of.pk}",
            payment_intent_id=of.reference,
            currency="USD",
            amount_minor=-1000,
            fee_minor=0,
            net_minor=-1000,
            occurred_at=of.created_at,
            available_at=of.created_at,
        )
        return BankDispute(
            id=f"dp_{of.pk}",
            status="needs_response",
            reason="fraudulent",
            charge_id="",
            payment_intent_id=of.reference,
            amount_minor=1000,
            currency="USD",
            due_at=None,
            submissions=0,
            command="",
            movements=(moved,),
        )

    def work(index: int):
        if index < 9:
            return chargebacks.apply(dispute(lots[index % 3]))
        if index < 12:
            return top_up(organization, 1_000_000)
        return ask(organization, 1_000_000)

    results = at_once(14, work)
    assert not [result for result in results if isinstance(result, Exception)]
    chargebacks.collect_owed()
    refunded = sum(row.amount_micro for row in Refund.objects.all())
    owed = 30_000_000 - (30_000_000 - spent - refunded + 3_000_000)
    assert (balance(organization), balance(organization, "disputed")) == (0, owed) if owed > 0 else (-owed, 0)
    assert LedgerTransfer.objects.filter(kind="dispute").count() == CardDispute.objects.count() == 3
    assert holds()
    assert refunds.refundable(organization) == []
