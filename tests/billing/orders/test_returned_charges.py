"""Voids and disputes in any order: an order gives back no more than it charged, to the accounts that had paid.

The accounts are the wallet and promotional credit.
"""

import threading
from contextlib import suppress

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from billing.disputes import decisions as dispute_decisions
from billing.disputes import disputes
from billing.ledger import posting
from billing.models import Dispute, JobOrder, LedgerAccount, LedgerTransfer, RatedUsage
from billing.orders import voids
from billing.orders.closing import close_orders
from billing.orders.settlement import settle_usage
from core.errors import DomainError
from tests.billing.helpers import balance, end_job, give_credit, make_market, make_usage, number, order
from tests.compute.helpers import until_somebody_waits_for_us
from tests.database import sqlstate_of
from tests.long import examples
from tests.threads import at_once

WORDS = "The results were wrong."


class Story:
    """One order, paid by promotional credit first, on which two owners work; each method is a step.

    `expected` is what voids and grants should have given back so far.
    """

    def __init__(self, credit: int) -> None:
        self.market = make_market(price=97_531, share=613)
        if credit:
            give_credit(self.market.organization, credit)
        self.user = User.objects.create(email=f"somebody{number()}@example.com")
        self.order = order(self.market.organization, cap_micro=250_000)
        self.expected = 0

    def work(self, ms: int) -> None:
        if self.order.status == JobOrder.Status.HELD:
            first = make_usage(self.order.job, self.market.nodes[ms % 2], compute_ms=ms)
            if ms % 3 == 0:
                make_usage(self.order.job, self.market.nodes[1 - ms % 2], compute_ms=ms, copy_of=first)
            settle_usage()
            self.order.refresh_from_db()

    def close(self, _: int = 0) -> None:
        if self.order.status == JobOrder.Status.HELD:
            end_job(self.order.job)
            close_orders()
            self.order.refresh_from_db()

    def void(self, which: int) -> None:
        rated = list(RatedUsage.objects.filter(order=self.order, void=None).order_by("id"))
        if rated:
            voids.void(rated=rated[which % len(rated)], reason="x", actor=None)
            self.expected += rated[which % len(rated)].charged_micro
            voids.settle_voids()

    def open(self, permille: int) -> Dispute:
        return disputes.open_order(
            organization=self.market.organization,
            order=self.order,
            reason="The results are wrong.",
            claimed_micro=max(1, self.order.charged_micro * (permille % 1000) // 1000),
            idempotency_key=f"{number()}",
            actor=self.user,
        )

    def uphold(self, permille: int) -> None:
        if dispute := self.order.disputes.filter(status="open").first():
            granted = max(1, dispute.claimed_micro * (permille % 1000 + 1) // 1000)
            bearer = ("owner", "platform")[permille % 2]
            dispute_decisions.uphold(
                dispute=dispute, granted_micro=granted, bearer=bearer, decision=WORDS, actor=self.user
            )
            self.expected += granted

    def withdraw(self, _: int) -> None:
        if dispute := self.order.disputes.filter(status="open").first():
            disputes.withdraw(dispute=dispute, actor=self.user)

    def back(self, *kinds: str) -> int:
        """Return what was given back to the customer's accounts of these kinds."""
        corrections = LedgerTransfer.objects.filter(kind="correction", credit__kind__in=kinds)
        return sum(
            corrections.filter(credit__organization=self.market.organization).values_list("amount_micro", flat=True)
        )

    def check(self) -> None:
        charged, promo = self.order.charged_micro, min(self.order.held_promo_micro, self.order.charged_micro)
        assert self.back("wallet") <= charged - promo
        assert self.back("promo_wallet") <= promo
        assert self.back("wallet", "promo_wallet") == self.expected
        for node in self.market.nodes:  # no more is taken from an owner than the owner was paid
            kinds = LedgerAccount.objects.filter(owner=node.vehicle.owner, kind__in=["payable", "reserve"])
            assert sum(kinds.values_list("balance_micro", flat=True)) >= 0
        assert posting.recompute() == []


acts = st.tuples(
    st.sampled_from(["work", "void", "void", "open", "uphold", "uphold", "withdraw"]), st.integers(0, 4_000_000)
)


@pytest.mark.django_db
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    credit=st.sampled_from([0, 30_000, 60_000, 130_000, 250_000]),
    before=st.lists(acts, max_size=4),
    works=st.lists(st.integers(1, 6_000_000), min_size=1, max_size=3),
    after=st.lists(acts, min_size=3, max_size=9),
)
def test_cash_back_is_cash_paid_at_most(credit, before, works, after):
    with transaction.atomic():
        story = Story(credit)
        for name, argument in [("work", ms) for ms in works] + before + [("close", 0)] + after:
            with suppress(DomainError), transaction.atomic():
                getattr(story, name)(argument)
            story.check()
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_credit_does_not_become_money():
    story = Story(250_000)
    story.work(3_600_000)
    story.close()
    story.open(999)
    wallet, promo = (balance(story.market.organization, kind) for kind in ("wallet", "promo_wallet"))
    # Raw SQL cannot grant it either.
    upheld = "UPDATE billing_dispute SET status = 'upheld', granted_micro = 9, granted_promo_micro = {}"
    assert [sqlstate_of(upheld.format(micro)) for micro in (0, 8, 10)] == ["DW007", "DW007", "23514"]
    story.uphold(999)
    assert story.expected > 90_000
    assert balance(story.market.organization, "wallet") == wallet
    assert balance(story.market.organization, "promo_wallet") == promo + story.expected
    story.check()


@pytest.mark.django_db(transaction=True)
def test_who_opens_a_dispute_waits_for_what_is_being_given_back():
    """A second dispute waits for the decision of the first. Then a decision and voids at once return nothing twice."""
    story = Story(40_000)
    for ms in (1_000_000, 2_000_000, 3_000_000):
        story.work(ms)
    story.close()
    story.open(600)
    refusal: list[str] = []

    def open_another() -> None:
        try:
            story.open(600)
        except DomainError as error:
            refusal.append(error.code)
        finally:
            connection.close()

    opener = threading.Thread(target=open_another)
    with transaction.atomic():
        story.uphold(998)  # an even number: at the owners' cost
        opener.start()
        until_somebody_waits_for_us()
        assert opener.is_alive()
    opener.join()
    assert refusal == ["amount_invalid"]

    story = Story(40_000)
    for ms in (1_000_001, 2_000_000, 3_000_000):
        story.work(ms)
    story.close()
    story.open(999)
    rated = list(RatedUsage.objects.filter(order=story.order).order_by("id"))

    def act(index: int) -> object:
        if index == 0:
            return story.uphold(599)
        voids.void(rated=rated[index % len(rated)], reason="x", actor=None)
        return voids.settle_voids()

    results = at_once(6, act)
    assert {type(result) for result in results} <= {int, str, type(None)}, results
    voids.settle_voids()
    upheld = story.order.disputes.filter(status="upheld").exists()
    assert upheld == (results[0] is None)
    story.expected = story.back("wallet", "promo_wallet")
    assert 0 < story.expected <= story.order.charged_micro
    story.check()
