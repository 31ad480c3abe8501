"""Concurrency on a real PostgreSQL: threads with connections of their own, whose transactions really commit."""

import random
import threading
from collections import Counter

import pytest
from django.db import connection

from accounts.models import Organization
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import EarningsDay, JobOrder, LedgerAccount, LedgerTransfer, RatedUsage, SpendDay, TopUp
from billing.orders import orders, voids
from billing.orders.closing import close_orders
from billing.orders.settlement import settle_usage
from billing.rates.cards import default_rates
from billing.usage import spend_caps
from billing.wallet import wallets
from compute.models import InferenceJob
from core.errors import DomainError, Forbidden
from tests.billing.helpers import (
    end_job,
    give_credit,
    make_class,
    make_market,
    make_organization,
    make_usage,
    order,
    top_up,
)
from tests.compute.helpers import until_somebody_waits_for_us
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_wallet_covers_what_it_covers_and_no_more():
    """0.50 in the wallet, eight orders of 0.10 at once: five succeed, three are refused, nothing is left."""
    market = make_market(top_up_micro=500_000)
    results = at_once(8, lambda _: order(market.organization, cap_micro=100_000).held_micro)
    assert Counter(map(str, results)) == {"100000": 5, "insufficient_funds": 3}
    assert InferenceJob.objects.count() == JobOrder.objects.count() == 5
    summary = wallets.summary(market.organization)
    assert (summary.available_micro, summary.held_micro) == (0, 500_000)
    assert posting.recompute() == []


def test_two_pockets_cover_what_they_cover_together():
    """0.25 of credit and 0.25 in the wallet, eight orders of 0.10 at once: five succeed, and one of them needs both."""
    market = make_market(top_up_micro=250_000)
    give_credit(market.organization, 250_000)
    results = at_once(8, lambda _: order(market.organization, cap_micro=100_000).held_micro)
    assert Counter(map(str, results)) == {"100000": 5, "insufficient_funds": 3}
    assert sum(JobOrder.objects.values_list("held_promo_micro", flat=True)) == 250_000
    assert posting.recompute() == []


@pytest.mark.parametrize("credit_micro", [0, 250_000])
def test_a_suspension_that_comes_first_is_seen_by_orders_in_flight(monkeypatch, credit_micro: int):
    """The suspension commits after the order's first check and before the order holds money.

    Orders at the same moment do not block each other.
    """
    market = make_market()
    organization = market.organization
    if credit_micro:
        give_credit(organization, credit_micro)
    real_estimate = orders.estimate

    def suspended_meanwhile(**options):
        def suspend() -> None:
            Organization.objects.filter(pk=organization.pk).update(status="suspended")
            connection.close()

        worker = threading.Thread(target=suspend)
        worker.start()
        worker.join()
        return real_estimate(**options)

    with monkeypatch.context() as patch:
        patch.setattr(orders, "estimate", suspended_meanwhile)
        with pytest.raises(Forbidden) as caught:
            order(organization, cap_micro=100_000)
    assert caught.value.code == "organization_suspended"
    assert not InferenceJob.objects.exists()
    Organization.objects.filter(pk=organization.pk).update(status="active")
    assert at_once(4, lambda _: order(organization, cap_micro=100_000).held_micro) == [100_000] * 4


def test_a_suspension_waits_for_an_order_that_was_first(monkeypatch):
    market = make_market()
    real_take, jobs_seen = orders.holds.post_hold, []

    def take_while_suspending(*arguments, **options):
        def suspend() -> None:
            Organization.objects.filter(pk=market.organization.pk).update(status="suspended")
            jobs_seen.append(InferenceJob.objects.count())
            connection.close()

        worker = threading.Thread(target=suspend)
        worker.start()
        until_somebody_waits_for_us()
        assert worker.is_alive()
        workers.append(worker)
        real_take(*arguments, **options)

    workers: list[threading.Thread] = []
    monkeypatch.setattr(orders.holds, "post_hold", take_while_suspending)
    order(market.organization, cap_micro=100_000)
    workers[0].join()
    assert jobs_seen == [1]  # the suspension sees the job of the order for which it waited


def test_a_spend_cap_holds_when_orders_come_at_once():
    market = make_market()
    spend_caps.set_cap(organization=market.organization, monthly_micro=350_000, actor=None)
    results = at_once(8, lambda _: order(market.organization, cap_micro=100_000).held_micro)
    assert Counter(map(str, results)) == {"100000": 3, "spend_cap_reached": 5}
    assert spend_caps.month(market.organization).left_micro == 50_000


def test_one_key_at_once_is_one_top_up():
    organization = make_organization()
    results = at_once(8, lambda _: top_up(organization, 1_000, key="once"))
    assert results == [None] * 8
    assert TopUp.objects.count() == LedgerTransfer.objects.count() == 1
    assert wallets.summary(organization).balance_micro == 1_000


def test_one_key_at_once_for_different_amounts_is_the_first_of_them():
    organization = make_organization()
    results = at_once(8, lambda index: top_up(organization, 1_000 + index, key="once"))
    assert Counter(results) == {None: 1, "idempotency_conflict": 7}
    assert LedgerTransfer.objects.count() == 1


def test_accounts_and_cards_are_made_once():
    organization, hardware_class = make_organization(), make_class()
    assert len(set(at_once(8, lambda _: posting.wallet(organization).pk))) == 1
    at_once(8, lambda _: default_rates())
    assert hardware_class.rate_cards.count() == 4


@pytest.mark.long
def test_transfers_in_circles_never_deadlock_nor_overdraw():
    """Eight threads move money among six wallets and holds; each statement touches several accounts, in any order."""
    places = [
        AccountName(kind=kind, currency="USD", organization_id=organization.pk)
        for organization in (make_organization(top_up_micro=1_000) for _ in range(3))
        for kind in ("wallet", "hold")
    ]
    accounts = list(posting.accounts(places).values())

    def shuffle(index: int) -> Counter[str]:
        dice, outcomes = random.Random(index), Counter()
        for turn in range(25):
            pairs = [dice.sample(accounts, 2) for _ in range(dice.randint(1, 6))]
            postings = [
                Posting(
                    kind="hold",
                    debit=debit,
                    credit=credit,
                    amount_micro=dice.randint(1, 700),
                    idempotency_key=f"{index}:{turn}:{leg}",
                )
                for leg, (debit, credit) in enumerate(pairs)
            ]
            try:
                posting.post(postings)
                outcomes["posted"] += 1
            except DomainError as error:
                outcomes[error.code] += 1
        return outcomes

    outcomes = sum(at_once(8, shuffle), Counter())
    assert set(outcomes) == {"posted", "insufficient_funds"}
    assert sum(outcomes.values()) == 200
    balances = LedgerAccount.objects.filter(tracked=True).values_list("balance_micro", flat=True)
    assert min(balances) >= 0
    assert sum(balances) == 3_000
    assert {d.check for d in posting.recompute()} <= {"holds"}  # these holds belong to no order


@pytest.mark.long
def test_settling_at_once_settles_each_usage_once():
    market = make_market()
    orders = [order(market.organization, cap_micro=100_000) for _ in range(2)]
    for index in range(40):
        make_usage(orders[index % 2].job, market.nodes[index // 2 % 2], compute_ms=400_000)
    settled = at_once(6, lambda _: sum(iter(lambda: settle_usage(limit=7), 0)))
    assert sum(settled) == RatedUsage.objects.count() == 40
    # Twenty times 400 s at 0.10 an hour would be 0.22: the hold of 0.10 is used up exactly, in whatever order they
    # settle.
    assert list(JobOrder.objects.values_list("charged_micro", flat=True)) == [100_000, 100_000]
    assert sum(EarningsDay.objects.values_list("attempts", flat=True)) == 40
    assert sum(SpendDay.objects.values_list("charged_micro", flat=True)) == 200_000
    rows = list(RatedUsage.objects.all())
    assert sum(EarningsDay.objects.values_list("gross_micro", flat=True)) == sum(row.owner_micro for row in rows)
    assert posting.recompute() == []
    # And back again: each is voided once, and no day has anything left.
    for row in rows:
        voids.void(rated=row, reason="test", actor=None)
    assert sum(at_once(6, lambda _: sum(iter(lambda: voids.settle_voids(limit=7), 0)))) == 40
    assert set(EarningsDay.objects.values_list("attempts", "gross_micro")) == {(0, 0)}
    assert wallets.summary(market.organization).available_micro == 10_000_000


@pytest.mark.long
def test_settling_and_closing_at_once():
    market = make_market()
    for _ in range(6):
        placed = order(market.organization, cap_micro=200_000)
        for node in market.nodes:
            make_usage(placed.job, node, compute_ms=900_000)
        end_job(placed.job)

    def settle_and_close(index: int) -> None:
        for _ in range(12):
            if index % 2:
                settle_usage(limit=2)
            else:
                close_orders(limit=2)

    assert at_once(6, settle_and_close) == [None] * 6
    settle_usage()
    close_orders()
    assert set(JobOrder.objects.values_list("status", "charged_micro")) == {("closed", 50_000)}
    assert wallets.summary(market.organization).available_micro == 10_000_000 - 6 * 50_000
    assert posting.recompute() == []
